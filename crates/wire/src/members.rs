//! Shows the members of a JSON object one by one, without building it.

use std::fmt;

use domain::rejection::Rejection;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::names::Name;
use crate::values::not_json;

/// Shows each member of the object `name`, whose text is `object`, to `visit`; the first refusal.
pub(crate) fn for_members<'a>(
    name: &str,
    object: &'a str,
    visit: impl FnMut(Name<'a>, &'a str) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let mut members = Members { visit, refusal: None };
    let mut json = serde_json::Deserializer::from_str(object);
    let read = json.deserialize_map(&mut members).and_then(|()| json.end());
    read.map_err(|error| not_json(name, &error))?;
    members.refusal.map_or(Ok(()), Err)
}

struct Members<F> {
    visit: F,
    refusal: Option<Rejection>,
}

impl<'de, F: FnMut(Name<'de>, &'de str) -> Result<(), Rejection>> Visitor<'de> for &mut Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if let Err(refusal) = (self.visit)(name, value.get()) {
                self.refusal.get_or_insert(refusal);
            }
        }
        Ok(())
    }
}
