//! The body that replaces or changes a reference table. Read within its own size, and into maps by one
//! pass over the text; a text of a hundred thousand users is work for another thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use domain::limits::{REFERENCE_ATTRIBUTES_MAX, REFERENCE_BODY_BYTES_MAX, REFERENCE_USERS_MAX};
use domain::reference::{Attributes, Patch};
use domain::time::Timestamp;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, IF_MATCH};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use tokio::sync::OwnedSemaphorePermit;

use super::body::read_in_time;
use crate::problem::{Kind, Problem};
use crate::router::ApiState;

/// The field that holds the users.
const USERS: &str = "user_metadata";

/// The text of such a body, and its share of the memory of all.
#[derive(Debug)]
pub(crate) struct TableText {
    bytes: Vec<u8>,
    share: OwnedSemaphorePermit,
}

/// What it says.
#[derive(Debug, Default)]
pub(crate) struct TableBody {
    pub(crate) ts: Option<Timestamp>,
    pub(crate) users: Patch,
}

impl FromRequest<Arc<ApiState>> for TableText {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, mut body) = request.into_parts();
        if parts.headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Problem::new(Kind::UnsupportedEncoding, "a reference table is taken uncompressed only"));
        }
        let time_max = api.pipeline.limits().body_timeout;
        let (bytes, share) = read_in_time(&mut body, REFERENCE_BODY_BYTES_MAX, &api.table_bytes, time_max).await?;
        Ok(Self { bytes, share })
    }
}

impl TableText {
    /// Reads the text on another thread.
    pub(crate) async fn parse(self) -> Result<TableBody, Problem> {
        let Self { bytes, share } = self;
        let parsing = tokio::task::spawn_blocking(move || {
            let body = parse(&bytes);
            drop(share);
            body
        });
        parsing.await.map_err(|why| Problem::internal(why.to_string()))?
    }
}

impl TableBody {
    /// All users as they are to be; nothing may be `null` here.
    pub(crate) fn whole(self) -> Result<(Timestamp, BTreeMap<String, Attributes>), Problem> {
        let absent = || Problem::body(Kind::InvalidParameter, "ts", "'ts' is missing: the time of this table");
        let ts = self.ts.ok_or_else(absent)?;
        let mut users = BTreeMap::new();
        for (user, attributes) in self.users {
            let null =
                |field: String| Problem::body(Kind::InvalidParameter, &field, "null takes away, which only PATCH does");
            let Some(attributes) = attributes else { return Err(null(format!("{USERS}.{user}"))) };
            let mut known = Attributes::new();
            for (name, value) in attributes {
                let Some(value) = value else { return Err(null(format!("{USERS}.{user}.{name}"))) };
                known.insert(name, value);
            }
            users.insert(user, known);
        }
        Ok((ts, users))
    }
}

/// The generation that the request's `If-Match` asks for; `*` is any.
pub(crate) fn generation(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let number = inner.and_then(|text| text.parse().ok());
    let refused = || Problem::parameter("If-Match", "'If-Match' must be one generation in quotes, or *");
    number.map(Some).ok_or_else(refused)
}

fn parse(bytes: &[u8]) -> Result<TableBody, Problem> {
    let blame = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = Whole(&blame).deserialize(&mut reader).and_then(|body| reader.end().map(|()| body));
    parsed.map_err(|why| match blame.take() {
        Some(Blame { kind, field }) => Problem::body(kind, &field, why.to_string()),
        None => Problem::new(Kind::Malformed, format!("the body is no reference table: {why}")),
    })
}

/// Where the reading failed, set by the innermost part.
struct Blame {
    kind: Kind,
    field: String,
}

type Blamed = RefCell<Option<Blame>>;

fn blame<E>(blamed: &Blamed, kind: Kind, field: impl FnOnce() -> String) -> impl FnOnce(E) -> E {
    let field = blamed.borrow().is_none().then(field);
    move |error| {
        if let Some(field) = field {
            *blamed.borrow_mut() = Some(Blame { kind, field });
        }
        error
    }
}

/// The whole body.
struct Whole<'b>(&'b Blamed);

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = TableBody;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<TableBody, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = TableBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with user_metadata and ts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TableBody, A::Error> {
        let (mut users, mut ts) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let refused = |why: &str| blame(self.0, Kind::InvalidParameter, || key.clone())(A::Error::custom(why));
            match key.as_str() {
                USERS if users.is_some() => return Err(refused("user_metadata is given twice")),
                "ts" if ts.is_some() => return Err(refused("ts is given twice")),
                USERS => {
                    let read = map.next_value_seed(Users(self.0));
                    users = Some(read.map_err(|e| blame(self.0, Kind::InvalidParameter, || USERS.to_owned())(e))?);
                }
                "ts" => {
                    let read = map.next_value_seed(Scalar);
                    let text = read.map_err(|e| blame(self.0, Kind::InvalidParameter, || "ts".to_owned())(e))?;
                    let text = text.ok_or_else(|| refused("ts must not be null"))?;
                    ts = Some(Timestamp::parse(&text).map_err(|why| refused(&format!("'ts' is {why}")))?);
                }
                _ => return Err(refused("unknown field; a table has user_metadata and ts")),
            }
        }
        let absent = || blame(self.0, Kind::InvalidParameter, || USERS.to_owned())(A::Error::missing_field(USERS));
        Ok(TableBody { ts, users: users.ok_or_else(absent)? })
    }
}

/// All users.
struct Users<'b>(&'b Blamed);

impl<'de> DeserializeSeed<'de> for Users<'_> {
    type Value = Patch;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Patch, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Users<'_> {
    type Value = Patch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: user id to attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Patch, A::Error> {
        let mut users = Vec::new();
        while let Some(user) = map.next_key::<String>()? {
            if users.len() >= REFERENCE_USERS_MAX {
                let why = A::Error::custom(format!("at most {REFERENCE_USERS_MAX} users fit in a table"));
                return Err(blame(self.0, Kind::TooLarge, || USERS.to_owned())(why));
            }
            let read = map.next_value_seed(User { blamed: self.0, user: &user });
            let field = || format!("{USERS}.{user}");
            let attributes = read.map_err(|e| blame(self.0, Kind::InvalidParameter, field)(e))?;
            users.push((user, attributes));
        }
        users.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some(twice) = users.windows(2).find(|two| two[0].0 == two[1].0) {
            let why = A::Error::custom("a user is given twice");
            return Err(blame(self.0, Kind::InvalidParameter, || format!("{USERS}.{}", twice[0].0))(why));
        }
        Ok(users.into_iter().collect())
    }
}

/// One user's attributes, or `null`.
struct User<'b> {
    blamed: &'b Blamed,
    user: &'b str,
}

impl<'de> DeserializeSeed<'de> for User<'_> {
    type Value = Option<BTreeMap<String, Option<String>>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for User<'_> {
    type Value = Option<BTreeMap<String, Option<String>>>;

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
            let value = read.map_err(|e| blame(self.blamed, Kind::InvalidParameter, field)(e))?;
            if attributes.len() >= REFERENCE_ATTRIBUTES_MAX {
                let why = A::Error::custom(format!("at most {REFERENCE_ATTRIBUTES_MAX} attributes fit"));
                return Err(blame(self.blamed, Kind::TooLarge, || format!("{USERS}.{}", self.user))(why));
            }
            if attributes.contains_key(&name) {
                let why = A::Error::custom("an attribute is given twice");
                return Err(blame(self.blamed, Kind::InvalidParameter, field)(why));
            }
            attributes.insert(name, value);
        }
        Ok(Some(attributes))
    }
}

/// A scalar as text, or `null`.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<String>, D::Error> {
        from.deserialize_any(self)
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

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }
}
