//! What is stored: damage is told (F11), and the order of texts is ours and not the database's.

use catalog::postgres::{PostgresCatalog, migrate};
use domain::access::audit::Cause;
use domain::access::record::{CustomerProfile, Record};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::register::{AuditLog, Register, RegisterCommit, Revision};

use super::place::{Base, carried, limits};
use crate::Outcome;
use crate::place::{audit, kind};
use crate::records::{of_every_kind, profile};

/// A catalog with a record of every kind and two entries in one chain.
async fn filled(base: &Base, scope: &TenantScope) -> Result<PostgresCatalog, Box<dyn std::error::Error>> {
    let catalog = base.catalog().await?;
    catalog.ensure_tenants(&[scope.tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
    catalog.store_settings(scope, &TenantSettings::default(), &audit(scope, Timestamp::MIN)).await?;
    let records = of_every_kind(scope.tenant())?;
    let logged = vec![audit(scope, Timestamp::MIN)];
    catalog.commit(&RegisterCommit { records, audit: logged, ..RegisterCommit::default() }).await?;
    Ok(catalog)
}

#[tokio::test]
async fn f11_a_damaged_row_is_told_and_takes_no_change() -> Outcome {
    let scope = TenantScope::for_operator(TenantId::parse("acme")?);
    let entry = RegisterCommit { audit: vec![audit(&scope, Timestamp::MIN)], ..RegisterCommit::default() };
    let corrupt = Some(ErrorKind::Corrupt);
    // What the register, the settings and a change say.
    for (damage, expected) in [
        ("", [None, None, None]),
        ("UPDATE nilometer.app_user SET status = 'suspended'", [corrupt, None, None]),
        ("UPDATE nilometer.api_key SET scopes = scopes + 1", [corrupt, None, None]),
        ("UPDATE nilometer.tenant_settings SET retention_days = 7", [None, corrupt, None]),
        ("UPDATE nilometer.audit_head SET seq = seq - 1 WHERE seq > 1", [None, None, corrupt]),
        ("DELETE FROM nilometer.audit_head", [None, None, corrupt]),
        ("UPDATE nilometer.register_revision SET revision = 1", [corrupt, None, corrupt]),
        ("DELETE FROM nilometer.register_revision", [corrupt, None, corrupt]),
    ] {
        let Some(base) = Base::new()? else { return Ok(()) };
        let catalog = filled(&base, &scope).await?;
        if !damage.is_empty() {
            base.sql(damage)?;
        }
        let told = [
            kind(catalog.load(Revision(0), &mut drop).await),
            kind(catalog.settings().await),
            kind(catalog.commit(&entry).await),
        ];
        assert_eq!(told, expected, "{damage}");
        assert_eq!(catalog.poisoned(), None, "{damage}");
        let heads = catalog.audit_heads().await?;
        assert!(heads.iter().any(|(chain, _)| chain.as_ref() == Some(scope.tenant())), "{damage}: a chain stays one");
    }
    Ok(())
}

/// A database whose texts are in the order of a language: `a`, `A`, `b`, `Z`.
#[tokio::test]
async fn texts_are_in_order_of_their_bytes_whatever_the_databases_order_is() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let name = format!("{}_icu", base.name());
    base.sql(&format!(
        "CREATE DATABASE {name} OWNER {}_owner LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0",
        base.name()
    ))?;
    let at = |url: &str| {
        let (before, _) = url.rsplit_once('/').unwrap_or_default();
        format!("{before}/{name}")
    };
    migrate(&at(&base.owner_url()), &base.logins).await?;
    let catalog = PostgresCatalog::open(&at(&base.app_url()), &limits()).await?;
    let ids: Vec<_> = ["b", "a", "ä", "Z", "A"].into_iter().map(TenantId::parse).collect::<Result<_, _>>()?;
    catalog.ensure_tenants(&ids, Timestamp::MIN, &Cause::server()).await?;
    for id in &ids {
        let scope = TenantScope::for_operator(id.clone());
        let zone = VersionedZone { version: 1, ..VersionedZone::default() };
        catalog.store_settings(&scope, &TenantSettings::default(), &audit(&scope, Timestamp::MIN)).await?;
        catalog.store_wanted_zone(&scope, &zone, &carried(), &audit(&scope, Timestamp::MIN)).await?;
    }
    let customers = ["b", "a", "Z", "A"].map(str::to_owned);
    let profiles = customers
        .iter()
        .map(|customer| Record::Customer(CustomerProfile { customer: customer.clone(), ..profile(&ids[0]) }));
    catalog.commit(&RegisterCommit { records: profiles.collect(), ..RegisterCommit::default() }).await?;

    let expected = ["A", "Z", "a", "b", "ä"];
    let tenants = catalog.tenants().await?;
    assert_eq!(tenants.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), expected);
    let settings = catalog.settings().await?;
    assert_eq!(settings.iter().map(|(it, _)| it.as_str()).collect::<Vec<_>>(), expected);
    let zones = catalog.wanted_zones().await?;
    assert_eq!(zones.iter().map(|(it, _)| it.as_str()).collect::<Vec<_>>(), expected);
    let heads = catalog.audit_heads().await?;
    assert_eq!(heads.iter().filter_map(|(it, _)| Some(it.as_ref()?.as_str())).collect::<Vec<_>>(), expected);
    let scope = TenantScope::for_operator(ids[0].clone());
    let profiles = catalog.customer_profiles(&scope, &customers).await?;
    assert_eq!(profiles.iter().map(|it| it.customer.as_str()).collect::<Vec<_>>(), ["A", "Z", "a", "b"]);
    catalog.close().await?;
    base.sql(&format!("DROP DATABASE {name} WITH (FORCE)"))?;
    Ok(())
}
