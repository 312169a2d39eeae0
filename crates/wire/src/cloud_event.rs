//! What makes a `CloudEvent` of an event: its source, and what its data says that the envelope has no attribute for.

use std::borrow::Cow;

use domain::event::{Candidate, IdScheme, is_cloud_event_id};
use domain::rejection::{RejectCode, Rejection};
use domain::warning::{Warning, WarningCode};

use crate::field::Field;
use crate::json::{self, JsonKind};
use crate::names::{self, Meaning};
use crate::slot::{Named, Slot, Text};
use crate::values::{filled, identifier, text};

/// Takes the source, and looks in the data for what the envelope of a `CloudEvent` has no attribute for. Its data is
/// free, so that only listed names are looked for, and a member of another type than text or integer is not the
/// field.
pub(crate) fn complete<'a>(candidate: &mut Candidate<'a>, source: Option<JsonKind<'a>>) -> Result<(), Rejection> {
    candidate.source = filled(source.map_or(Ok(None), |source| text("source", source))?);
    if candidate.source.is_none() {
        candidate.warnings.push(Warning::whole(WarningCode::MissingSource));
    }
    let Some(Cow::Borrowed(data)) = candidate.properties else { return Ok(()) };
    let [mut customer, mut user, mut endpoint, mut project, mut tenant] = [(); 5].map(|()| Text::default());
    let (mut warnings, mut outcome) = (Vec::new(), Ok(()));
    for (name, value) in json::members(data) {
        let Some(Meaning::Field { field, exact: true }) = names::meaning(&name) else { continue };
        let slot = match field {
            Field::Customer => &mut customer,
            Field::User => &mut user,
            Field::Endpoint => &mut endpoint,
            Field::Project => &mut project,
            Field::Tenant => &mut tenant,
            _ => continue,
        };
        let value = filled(identifier(&name, JsonKind::of(value)).unwrap_or_default());
        let put = slot.put_inside("data", Named { text: name, exact: true }, Ok(value), &mut warnings);
        outcome = outcome.and(put);
    }
    outcome?;
    let found = [customer, user, endpoint, project, tenant].map(Slot::into_value);
    if let Some(first) = candidate.first_reading.as_deref_mut().filter(|first| first.properties.is_some()) {
        fill(first, found.clone());
    }
    fill(candidate, found);
    Ok(())
}

/// Gives an event what its data says and it lacks.
fn fill<'a>(candidate: &mut Candidate<'a>, found: [Option<Cow<'a, str>>; 5]) {
    let slots = [
        &mut candidate.customer,
        &mut candidate.user,
        &mut candidate.endpoint,
        &mut candidate.project,
        &mut candidate.tenant,
    ];
    for (slot, found) in slots.into_iter().zip(found) {
        if slot.is_none() {
            *slot = found;
        }
    }
}

/// Takes what an export says of the id, which is the text under which the event was stored.
pub(crate) fn set_scheme<'a>(candidate: &mut Candidate<'a>, id_scheme: &mut Text<'a>) -> Result<(), Rejection> {
    let name = id_scheme.name().to_owned();
    let Some(scheme) = id_scheme.settle()?.0 else { return Ok(()) };
    let refused = |message: &str| Err(Rejection::of(RejectCode::InvalidValue, &name, message));
    let Some(scheme) = IdScheme::of_name(&scheme) else { return refused("is not what an export writes") };
    match candidate.id.as_deref().map(is_cloud_event_id) {
        None => Ok(()),
        Some(false) => refused("the id is not one of a CloudEvent as an export writes it"),
        Some(true) => {
            candidate.stored_scheme = Some(scheme);
            Ok(())
        }
    }
}
