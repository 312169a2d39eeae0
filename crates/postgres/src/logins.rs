//! The three logins of a database: one that owns the schema, one that serves requests and one that applies events. None is
//! a member of another.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::failure::Failure;
use crate::schema::Logins;

/// The login that owns the schema.
const OWNER: &str = "nilometer_owner";

/// What each login connects with, its password included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUrls {
    /// It makes tables.
    pub owner: String,
    /// It serves requests.
    pub app: String,
    /// It applies events.
    pub worker: String,
}

/// Makes the logins in the database of `admin_url`, whose login must be a superuser, since one of them passes row-level
/// security by. Those that are there get a new password and lose what they may not have. `passwords` are letters, digits,
/// `-` and `_`: for owner, application and worker.
///
/// # Errors
/// `Unacceptable` when the address cannot be read or its login may not make others. Otherwise when the server cannot be
/// reached; nothing has changed then.
pub async fn make_logins(admin_url: &str, passwords: [&str; 3]) -> Result<LoginUrls, Failure> {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !passwords.into_iter().all(|password| is_plain(password) && !password.is_empty()) {
        return Err(Failure::unacceptable("a password holds other than letters, digits, '-' and '_'"));
    }
    let admin = read(admin_url)?;
    let mut connection = admin.connect().await?;
    let mut transaction = connection.begin().await?;
    let Logins { app, worker } = Logins::default();
    let [of_owner, of_app, of_worker] = passwords;
    let roles = [(OWNER, of_owner, "NOBYPASSRLS"), (&*app, of_app, "NOBYPASSRLS"), (&*worker, of_worker, "BYPASSRLS")];
    for (name, password, bypass) in roles {
        make(&mut transaction, name, password, bypass).await?;
    }
    let database: String =
        sqlx::query_scalar("SELECT quote_ident(current_database())").fetch_one(&mut *transaction).await?;
    run(&mut transaction, &format!("GRANT CONNECT, CREATE ON DATABASE {database} TO {OWNER}")).await?;
    run(&mut transaction, &format!("GRANT CONNECT ON DATABASE {database} TO {app}, {worker}")).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(urls(&admin, passwords))
}

/// What the logins connect with to the database of `admin_url`, if these are their passwords: for owner, application and
/// worker.
///
/// # Errors
/// `Unacceptable` when the address cannot be read.
pub fn login_urls(admin_url: &str, passwords: [&str; 3]) -> Result<LoginUrls, Failure> {
    Ok(urls(&read(admin_url)?, passwords))
}

/// The password in an address, as it stands in addresses; `None` if there is none.
///
/// # Errors
/// `Unacceptable` when the address cannot be read.
pub fn password_of(url: &str) -> Result<Option<String>, Failure> {
    Ok(read(url)?.to_url_lossy().password().map(str::to_owned))
}

/// An address as it may be shown: without its password and whatever stands behind the name of the database.
///
/// # Errors
/// `Unacceptable` when the address cannot be read.
pub fn shown(url: &str) -> Result<String, Failure> {
    let options = read(url)?;
    let (login, host, port) = (options.get_username(), options.get_host(), options.get_port());
    Ok(format!("postgres://{login}@{host}:{port}/{}", options.get_database().unwrap_or(login)))
}

/// The error never shows the address, which has a password in it.
fn read(url: &str) -> Result<PgConnectOptions, Failure> {
    PgConnectOptions::from_str(url).map_err(|_| Failure::unacceptable("the address of PostgreSQL cannot be read"))
}

fn urls(admin: &PgConnectOptions, [of_owner, of_app, of_worker]: [&str; 3]) -> LoginUrls {
    let url = |name: &str, password: &str| admin.clone().username(name).password(password).to_url_lossy().to_string();
    let Logins { app, worker } = Logins::default();
    LoginUrls { owner: url(OWNER, of_owner), app: url(&app, of_app), worker: url(&worker, of_worker) }
}

async fn make(on: &mut PgConnection, name: &str, password: &str, bypass: &str) -> Result<(), sqlx::Error> {
    let is_there = sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1").bind(name);
    let verb = if is_there.fetch_optional(&mut *on).await?.is_some() { "ALTER" } else { "CREATE" };
    let attributes = format!("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION {bypass} PASSWORD '{password}'");
    run(on, &format!("{verb} ROLE {name} {attributes}")).await
}

async fn run(on: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(on).await.map(drop)
}
