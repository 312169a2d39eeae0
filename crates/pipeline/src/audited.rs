//! What is written to a tenant's audit log about the changes that it makes: the fields that change, before and after,
//! as JSON. Of a reference table only how many users it has: who they are stays out of the log.

use domain::access::audit::{AuditDraft, Cause};
use domain::calendar::Zone;
use domain::quota::{QuotaKey, QuotaTerms};
use domain::reference::ReferenceTable;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::catalog::TenantSettings;
use serde_json::{Map, Value, json};

/// The entry about a change of settings.
pub(crate) fn settings_change(
    cause: &Cause,
    scope: &TenantScope,
    at: Timestamp,
    before: &TenantSettings,
    after: &TenantSettings,
) -> AuditDraft {
    let (was, becomes) = (fields(before), fields(after));
    let changed = |of: &Map<String, Value>, other: &Map<String, Value>| {
        let changed = of.iter().filter(|(field, value)| other.get(*field) != Some(value));
        Value::Object(changed.map(|(field, value)| (field.clone(), value.clone())).collect())
    };
    let draft = cause.draft(Some(scope.tenant()), at, "settings.change", "settings");
    draft.changing(Some(changed(&was, &becomes).to_string()), Some(changed(&becomes, &was).to_string()))
}

fn fields(settings: &TenantSettings) -> Map<String, Value> {
    let TenantSettings { week_start, max_lateness_sec, min_time, retention_days } = settings;
    let fields = [
        ("week_start", json!(week_start)),
        ("max_lateness_sec", json!(max_lateness_sec)),
        ("min_time", json!(min_time)),
        ("retention_days", json!(retention_days)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

/// The entry about another zone that is wanted.
pub(crate) fn zone_change(
    cause: &Cause,
    scope: &TenantScope,
    at: Timestamp,
    before: &Zone,
    after: &Zone,
) -> AuditDraft {
    let named = |zone: &Zone| Some(json!({ "timezone": zone.name() }).to_string());
    cause.draft(Some(scope.tenant()), at, "zone.change", "settings").changing(named(before), named(after))
}

/// The entry about a quota that is set, changed or removed.
pub(crate) fn quota_change(
    cause: &Cause,
    scope: &TenantScope,
    at: Timestamp,
    key: &QuotaKey,
    before: Option<QuotaTerms>,
    after: Option<QuotaTerms>,
) -> AuditDraft {
    let QuotaKey { customer, measure, period } = key;
    let told = |terms: QuotaTerms| {
        let QuotaTerms { limit, is_hard } = terms;
        let fields = json!({
            "customer": customer, "measure": measure, "period": period, "limit": limit, "hard": is_hard,
        });
        fields.to_string()
    };
    let action = if after.is_some() { "quota.set" } else { "quota.remove" };
    let target = format!("quota:{}/{}", measure.as_str(), period.as_str());
    cause.draft(Some(scope.tenant()), at, action, target).changing(before.map(told), after.map(told))
}

/// The entry about a reference table that takes the place of another one.
pub(crate) fn table_change(
    cause: &Cause,
    scope: &TenantScope,
    at: Timestamp,
    action: &str,
    tables: [&ReferenceTable; 2],
) -> AuditDraft {
    let [before, after] =
        tables.map(|table| Some(json!({ "generation": table.generation, "users": table.users.len() }).to_string()));
    cause.draft(Some(scope.tenant()), at, action, "reference:users").changing(before, after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::calendar::WeekStart;
    use domain::tenant::TenantId;

    #[test]
    fn an_entry_tells_the_fields_that_change() {
        let scope = TenantScope::for_operator(TenantId::default_tenant());
        let before = TenantSettings { max_lateness_sec: Some(60), ..TenantSettings::default() };
        let after = TenantSettings { week_start: WeekStart::Sunday, max_lateness_sec: None, ..before };
        let draft = settings_change(&Cause::server(), &scope, Timestamp::MIN, &before, &after);
        assert_eq!(draft.before.as_deref(), Some(r#"{"max_lateness_sec":60,"week_start":"monday"}"#));
        assert_eq!(draft.after.as_deref(), Some(r#"{"max_lateness_sec":null,"week_start":"sunday"}"#));
        assert_eq!(draft.workspace.as_ref(), Some(scope.tenant()));
        let min_time = Some(Timestamp::from_micros(0));
        let draft =
            settings_change(&Cause::server(), &scope, Timestamp::MIN, &after, &TenantSettings { min_time, ..after });
        assert_eq!(draft.after.as_deref(), Some(r#"{"min_time":"1970-01-01T00:00:00Z"}"#));
    }
}
