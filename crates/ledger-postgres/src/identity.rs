//! What never changes once the ledger was opened: the secret of new tenants, and the windows.

use domain::time::MICROS_PER_SECOND;
use domain::window::WindowRule;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// What the ledger was opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LedgerIdentity {
    pub(crate) key: [u8; 16],
    pub(crate) rule: WindowRule,
}

/// Reads it; none before the first server has opened the ledger.
pub(crate) async fn identity(on: &mut PgConnection) -> Result<Option<LedgerIdentity>, Failure> {
    let corrupt = |what: &str| Failure::Refused { kind: ErrorKind::Corrupt, reason: what.to_owned() };
    let row = sqlx::query("SELECT secret_key, window_sec, grace_sec FROM ledger").fetch_optional(on).await?;
    let Some(row) = row else { return Ok(None) };
    let key = <[u8; 16]>::try_from(row.try_get::<Vec<u8>, _>(0)?).map_err(|_| corrupt("the secret is not 16 bytes"))?;
    let (length, grace): (i32, i32) = (row.try_get(1)?, row.try_get(2)?);
    let rule = u32::try_from(length).ok().zip(u32::try_from(grace).ok());
    let rule = rule.and_then(|(length, grace)| WindowRule::new(length, grace).ok());
    Ok(Some(LedgerIdentity { key, rule: rule.ok_or_else(|| corrupt("the length of windows is impossible"))? }))
}

/// Makes it this if nobody has opened the ledger before, and refuses other windows if somebody has. Returns the secret of
/// new tenants.
pub(crate) async fn settle(on: &mut PgConnection, wanted: LedgerIdentity) -> Result<[u8; 16], Failure> {
    let seconds = |us: i64| i32::try_from(us / MICROS_PER_SECOND).unwrap_or(i32::MAX);
    let told = |rule: WindowRule| (seconds(rule.length_us()), seconds(rule.grace_us()));
    let (length, grace) = told(wanted.rule);
    let fix =
        "INSERT INTO ledger (id, secret_key, window_sec, grace_sec) VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING";
    sqlx::query(fix).bind(wanted.key.as_slice()).bind(length).bind(grace).execute(&mut *on).await?;
    let known = identity(on).await?.unwrap_or(wanted);
    let (old_length, old_grace) = told(known.rule);
    if (old_length, old_grace) != (length, grace) {
        let reason = format!(
            "windows are to have {length} s and a grace of {grace} s (window_length_sec, window_grace_sec), and the \
             ledger was made with {old_length} s and {old_grace} s"
        );
        return Err(Failure::Refused { kind: ErrorKind::Conflict, reason });
    }
    Ok(known.key)
}
