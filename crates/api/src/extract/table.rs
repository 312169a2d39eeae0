//! The body that replaces or changes a reference table. Read within its own limit of size and in one pass
//! over the text, on a thread that may block. Most users of a table have the attributes of many others:
//! attributes that are the same text are parsed once and shared.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use domain::limits::{
    REFERENCE_ATTRIBUTES_MAX, REFERENCE_BODY_BYTES_MAX, REFERENCE_COMBINATIONS_MAX, REFERENCE_USERS_MAX,
};
use domain::reference::{Attributes, Change, Users};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use pipeline::{FairPermit, TableChange, WorkClass};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::body::{BodyShare, read_in_time};
use super::document::check_text;
use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::RequestTenant;
use crate::state::ApiState;

/// A text up to this size, in bytes, does not wait for the large ones.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// The field that holds the users.
const USERS: &str = "user_metadata";

/// The text of a reference table, and its permits: memory, and for a large text one of the tenant's few.
///
/// The handler must also extract a scope. axum runs this extractor last, since it takes the body, so the scope
/// has been read by then and has noted the tenant that a permit for a large text is counted for. Without a
/// scope no such permit is taken.
#[derive(Debug)]
pub(crate) struct TableText {
    bytes: Vec<u8>,
    reservation: BodyShare,
    /// The permit to receive a large text.
    receiving: Option<FairPermit>,
}

/// The change of one user: attributes, of which `null` removes one; `None` removes the user.
type UserPatch = Option<Arc<Change>>;

/// A body that has been parsed.
#[derive(Debug)]
pub(crate) struct TableBody {
    pub(crate) change: TableChange,
    /// The permits of its memory, of a large text and of the change, kept until the change is done.
    pub(crate) held: (BodyShare, Option<FairPermit>, FairPermit),
}

/// The changes of all users in a body.
#[derive(Debug, Default)]
struct ParsedUsers {
    /// Users in order, each with the index of its change in `distinct`.
    users: Vec<(String, usize)>,
    /// Every change once, however many users it is for.
    distinct: Vec<UserPatch>,
}

impl FromRequest<Arc<ApiState>> for TableText {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, mut body) = request.into_parts();
        // The media type is not checked: there is only one way to write a table.
        check_text(&parts.headers)?;
        let time_max = api.pipeline.limits().body_timeout;
        // The large texts of one tenant must not fill the memory of all.
        let is_large = body.size_hint().upper().is_none_or(|bytes| bytes > SMALL_BYTES_MAX);
        let tenant = parts.extensions.get::<RequestTenant>().and_then(RequestTenant::tenant);
        let receiving = match tenant.filter(|_| is_large) {
            Some(tenant) => Some(api.reads.limiter.admit(WorkClass::TableText, tenant).await?),
            None => None,
        };
        let (bytes, reservation) =
            read_in_time(&parts, &mut body, REFERENCE_BODY_BYTES_MAX, &api.table_bytes, time_max).await?;
        Ok(Self { bytes, reservation, receiving })
    }
}

impl TableText {
    /// Reads a whole table, on a thread that may block; nothing may be `null`.
    pub(crate) async fn replacement(self, api: &ApiState, scope: &TenantScope) -> Result<TableBody, Problem> {
        self.read(api, scope, |ts, parsed| {
            let absent =
                || Problem::body(ProblemKind::InvalidParameter, "ts", "'ts' is missing: the time of this table");
            Ok(TableChange::Replace { ts: ts.ok_or_else(absent)?, users: whole(parsed)? })
        })
        .await
    }

    /// Reads changes of a table, on a thread that may block.
    pub(crate) async fn patch(self, api: &ApiState, scope: &TenantScope) -> Result<TableBody, Problem> {
        self.read(api, scope, |ts, ParsedUsers { users, distinct }| {
            let users = users.into_iter().map(|(user, index)| (user, distinct[index].clone())).collect();
            Ok(TableChange::Patch { ts, users })
        })
        .await
    }

    /// A large text is received with one permit and changed with a second one besides: its bytes count among
    /// the large texts until the change is done, so that those of other tenants find the room that is theirs.
    async fn read(
        self,
        api: &ApiState,
        scope: &TenantScope,
        make: impl FnOnce(Option<Timestamp>, ParsedUsers) -> Result<TableChange, Problem> + Send + 'static,
    ) -> Result<TableBody, Problem> {
        let Self { bytes, reservation, receiving } = self;
        let permit = api.reads.limiter.admit(WorkClass::TableChange, scope.tenant()).await?;
        let reading = tokio::task::spawn_blocking(move || {
            let (ts, parsed) = parse(&bytes)?;
            Ok(TableBody { change: make(ts, parsed)?, held: (reservation, receiving, permit) })
        });
        reading.await.map_err(|why| Problem::internal(why.to_string()))?
    }
}

/// The users of a whole table.
fn whole(ParsedUsers { users, distinct }: ParsedUsers) -> Result<Users, Problem> {
    let mut shared = Vec::with_capacity(distinct.len());
    for (index, patch) in distinct.into_iter().enumerate() {
        let attributes = without_null(patch).map_err(|attribute| {
            let user = users.iter().find(|(_, of_user)| *of_user == index).map_or("", |(user, _)| user);
            let field = [Some(USERS), Some(user), attribute.as_deref()];
            let field = field.into_iter().flatten().collect::<Vec<_>>().join(".");
            Problem::body(ProblemKind::InvalidParameter, &field, "null takes away, which only PATCH does")
        })?;
        shared.push(Arc::new(attributes));
    }
    Ok(users.into_iter().map(|(user, index)| (user, Arc::clone(&shared[index]))).collect())
}

/// The attributes of a user; refuses `null` with the attribute that it stands for, or none for the user.
fn without_null(patch: UserPatch) -> Result<Attributes, Option<String>> {
    let patch = patch.ok_or(None)?;
    let attribute = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => Ok((name.clone(), value.clone())),
        None => Err(Some(name.clone())),
    };
    patch.iter().map(attribute).collect()
}

fn parse(bytes: &[u8]) -> Result<(Option<Timestamp>, ParsedUsers), Problem> {
    let error_field = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = WholeBody(&error_field).deserialize(&mut reader).and_then(|body| reader.end().map(|()| body));
    parsed.map_err(|why| match error_field.take() {
        Some(ErrorField { kind, field }) => Problem::body(kind, &field, why.to_string()),
        None => Problem::new(ProblemKind::Malformed, format!("the body is no reference table: {why}")),
    })
}

/// The field that an error is about, set by the innermost reader.
struct ErrorField {
    kind: ProblemKind,
    field: String,
}

type ErrorFieldCell = RefCell<Option<ErrorField>>;

/// Notes `field` as the one that an error is about, unless an inner reader has noted its own.
fn at_field<E>(error_field: &ErrorFieldCell, kind: ProblemKind, field: impl FnOnce() -> String) -> impl FnOnce(E) -> E {
    let field = error_field.borrow().is_none().then(field);
    move |error| {
        if let Some(field) = field {
            *error_field.borrow_mut() = Some(ErrorField { kind, field });
        }
        error
    }
}

/// Reads the whole body.
struct WholeBody<'b>(&'b ErrorFieldCell);

impl<'de> DeserializeSeed<'de> for WholeBody<'_> {
    type Value = (Option<Timestamp>, ParsedUsers);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WholeBody<'_> {
    type Value = (Option<Timestamp>, ParsedUsers);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with user_metadata and ts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut users, mut ts) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let refused =
                |why: &str| at_field(self.0, ProblemKind::InvalidParameter, || key.clone())(A::Error::custom(why));
            match key.as_str() {
                USERS if users.is_some() => return Err(refused("user_metadata is given twice")),
                "ts" if ts.is_some() => return Err(refused("ts is given twice")),
                USERS => {
                    let read = map.next_value_seed(AllUsers(self.0));
                    users = Some(
                        read.map_err(|e| at_field(self.0, ProblemKind::InvalidParameter, || USERS.to_owned())(e))?,
                    );
                }
                "ts" => {
                    let read = map.next_value_seed(Scalar);
                    let text =
                        read.map_err(|e| at_field(self.0, ProblemKind::InvalidParameter, || "ts".to_owned())(e))?;
                    let text = text.ok_or_else(|| refused("ts must not be null"))?;
                    ts = Some(Timestamp::parse(&text).map_err(|why| refused(&format!("'ts' is {why}")))?);
                }
                _ => return Err(refused("unknown field; a table has user_metadata and ts")),
            }
        }
        let absent =
            || at_field(self.0, ProblemKind::InvalidParameter, || USERS.to_owned())(A::Error::missing_field(USERS));
        Ok((ts, users.ok_or_else(absent)?))
    }
}

/// Reads the field of all users.
struct AllUsers<'b>(&'b ErrorFieldCell);

impl<'de> DeserializeSeed<'de> for AllUsers<'_> {
    type Value = ParsedUsers;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<ParsedUsers, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for AllUsers<'_> {
    type Value = ParsedUsers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: user id to attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParsedUsers, A::Error> {
        let (mut parsed, mut by_text, mut by_patch) = (ParsedUsers::default(), HashMap::new(), HashMap::new());
        while let Some(user) = map.next_key::<String>()? {
            if parsed.users.len() >= REFERENCE_USERS_MAX {
                let why = A::Error::custom(format!("at most {REFERENCE_USERS_MAX} users fit in a table"));
                return Err(at_field(self.0, ProblemKind::TooLarge, || USERS.to_owned())(why));
            }
            let field = || format!("{USERS}.{user}");
            let text = map.next_value::<&'de RawValue>();
            let text = text.map_err(|e| at_field(self.0, ProblemKind::InvalidParameter, field)(e))?.get();
            let index = match by_text.get(text) {
                Some(index) => *index,
                None => {
                    let seed = User { error_field: self.0, user: &user };
                    let read = seed.deserialize(&mut serde_json::Deserializer::from_str(text));
                    let refused = |why| A::Error::custom(without_place(why));
                    let new =
                        read.map_err(|why| at_field(self.0, ProblemKind::InvalidParameter, field)(refused(why)))?;
                    // Equal attributes may be written in different ways.
                    let index = *by_patch.entry(new).or_insert_with_key(|new| {
                        parsed.distinct.push(new.clone());
                        parsed.distinct.len() - 1
                    });
                    if parsed.distinct.len() > REFERENCE_COMBINATIONS_MAX {
                        let why =
                            format!("at most {REFERENCE_COMBINATIONS_MAX} different combinations of attributes fit");
                        return Err(at_field(self.0, ProblemKind::TooLarge, || USERS.to_owned())(A::Error::custom(
                            why,
                        )));
                    }
                    by_text.insert(text, index);
                    index
                }
            };
            parsed.users.push((user, index));
        }
        parsed.users.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(twice) = parsed.users.windows(2).find(|two| two[0].0 == two[1].0) {
            let why = A::Error::custom("a user is given twice");
            return Err(at_field(self.0, ProblemKind::InvalidParameter, || format!("{USERS}.{}", twice[0].0))(why));
        }
        Ok(parsed)
    }
}

/// The message of an error inside a part of the body, without the line and column, which count from the
/// start of the part.
fn without_place(why: serde_json::Error) -> String {
    let why = why.to_string();
    why.rsplit_once(" at line ").map_or(why.clone(), |(what, _)| what.to_owned())
}

/// Reads one user's attributes, or `null`.
struct User<'b> {
    error_field: &'b ErrorFieldCell,
    user: &'b str,
}

impl<'de> DeserializeSeed<'de> for User<'_> {
    type Value = UserPatch;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for User<'_> {
    type Value = UserPatch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: attribute to a text, number, true or false")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut attributes = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let field = || format!("{USERS}.{}.{name}", self.user);
            let read = map.next_value_seed(Scalar);
            let value = read.map_err(|e| at_field(self.error_field, ProblemKind::InvalidParameter, field)(e))?;
            if attributes.len() >= REFERENCE_ATTRIBUTES_MAX {
                let why = A::Error::custom(format!("at most {REFERENCE_ATTRIBUTES_MAX} attributes fit"));
                return Err(at_field(self.error_field, ProblemKind::TooLarge, || format!("{USERS}.{}", self.user))(
                    why,
                ));
            }
            if attributes.contains_key(&name) {
                let why = A::Error::custom("an attribute is given twice");
                return Err(at_field(self.error_field, ProblemKind::InvalidParameter, field)(why));
            }
            attributes.insert(name, value);
        }
        Ok(Some(Arc::new(attributes)))
    }
}

/// Reads a scalar as text, a number as it is written, or `null`.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<String>, D::Error> {
        let text = <&RawValue>::deserialize(from)?.get();
        match text.as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(Some(text.to_owned())),
            _ => serde_json::Deserializer::from_str(text)
                .deserialize_any(self)
                .map_err(|why| D::Error::custom(without_place(why))),
        }
    }
}

impl Visitor<'_> for Scalar {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn value(json: &str) -> Result<Option<String>, serde_json::Error> {
        Scalar.deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn i9_a_number_is_the_text_it_is_written_as() {
        for number in
            ["0", "-0", "1.10", "1e3", "18446744073709551616", "18446744073709551617", "0.1000000000000000055"]
        {
            assert_eq!(value(number).unwrap().as_deref(), Some(number));
        }
        for (json, text) in [("true", "true"), ("\"\\u0061 b\"", "a b"), ("\"\"", "")] {
            assert_eq!(value(json).unwrap().as_deref(), Some(text));
        }
        assert_eq!(value("null").unwrap(), None);
        for refused in ["[1]", "{}", "01", "1.", "-", "nan"] {
            assert!(value(refused).is_err(), "{refused}");
        }
    }
}
