//! What is kept about customers beside their events: a name for people and free attributes. Customers themselves come
//! with their first event.

use std::sync::Arc;

use domain::access::record::{CustomerProfile, Record, Versioned};
use domain::limits::NAME_BYTES_MAX;
use domain::tenant::TenantScope;
use ports::PortError;
use serde_json::{Map, Value, json};

use super::{AccessControl, By, Plan, check_version, json};
use crate::failure::AccessError;

/// Largest attributes of a customer, as JSON, in bytes.
const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// How often a change is decided anew because another process has made one in between.
const RACES_MAX: usize = 5;

/// A change of a profile: what is given replaces what holds.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// What people call the customer; `Some(None)` takes the name away.
    pub name: Option<Option<String>>,
    /// Attributes; one that is null is taken away, those that are not named stay.
    pub attributes: Option<Map<String, Value>>,
}

impl AccessControl {
    /// Changes what is kept about a customer.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_customer(
        self: &Arc<Self>,
        by: &By,
        customer: &str,
        change: ProfileChange,
        version: Option<u64>,
    ) -> Result<CustomerProfile, AccessError> {
        let scope = by.principal.workspace.clone().ok_or(AccessError::NotFound("customer"))?;
        // Profiles are not in memory, so one is read before a change is decided. Nobody in this process changes it
        // meanwhile; that no other process did shows when it is stored.
        let _turn = self.profiles.lock().await;
        for _ in 1..RACES_MAX {
            match self.change_customer_once(by, &scope, customer, &change, version).await {
                Err(AccessError::Raced) => {}
                done => return done,
            }
        }
        self.change_customer_once(by, &scope, customer, &change, version).await
    }

    /// Does it on the profile as it is stored now.
    async fn change_customer_once(
        self: &Arc<Self>,
        by: &By,
        scope: &TenantScope,
        customer: &str,
        change: &ProfileChange,
        version: Option<u64>,
    ) -> Result<CustomerProfile, AccessError> {
        let workspace = scope.tenant();
        let before = self.customers(scope, &[customer.to_owned()]).await?.pop();
        self.change_by(by, |_, now| {
            check_version(version, before.as_ref().map_or(0, |before| before.versioned.version))?;
            let mut after = before.clone().unwrap_or_else(|| CustomerProfile {
                workspace: workspace.clone(),
                customer: customer.to_owned(),
                name: None,
                attributes: "{}".to_owned(),
                versioned: Versioned { version: 0, ..Versioned::new(now) },
            });
            if let Some(name) = &change.name {
                after.name = name.as_deref().map(|name| super::check_name("name", name)).transpose()?;
            }
            if let Some(changed) = &change.attributes {
                after.attributes = merged(&after.attributes, changed)?;
            }
            if before.as_ref() == Some(&after) {
                return Ok((Plan::default(), after));
            }
            after.versioned = after.versioned.next(now);
            let draft = by.cause.draft(Some(workspace), now, "customer.change", format!("customer:{customer}"));
            let draft = draft.changing(before.as_ref().and_then(describe), describe(&after));
            Ok((Plan::of(Record::Customer(after.clone()), draft), after))
        })
        .await
    }

    /// The profiles of those of `customers` that have one, in order of id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn customers(
        &self,
        scope: &TenantScope,
        customers: &[String],
    ) -> Result<Vec<CustomerProfile>, PortError> {
        self.store.customer_profiles(scope, customers).await
    }
}

fn merged(before: &str, changed: &Map<String, Value>) -> Result<String, AccessError> {
    let mut attributes: Map<String, Value> = serde_json::from_str(before).unwrap_or_default();
    for (name, value) in changed {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(AccessError::invalid("attributes", format!("must have names of 1 to {NAME_BYTES_MAX} bytes")));
        }
        if value.is_null() {
            attributes.remove(name);
        } else {
            attributes.insert(name.clone(), value.clone());
        }
    }
    let text = Value::Object(attributes).to_string();
    if text.len() > ATTRIBUTES_BYTES_MAX {
        return Err(AccessError::invalid(
            "attributes",
            format!("must be at most {ATTRIBUTES_BYTES_MAX} bytes as JSON"),
        ));
    }
    Ok(text)
}

fn describe(profile: &CustomerProfile) -> Option<String> {
    // The log is kept for ever: it says which attributes there are, and not what they hold.
    let attributes: Map<String, Value> = serde_json::from_str(&profile.attributes).unwrap_or_default();
    let names: Vec<_> = attributes.keys().collect();
    json(&json!({ "has_name": profile.name.is_some(), "attributes": names }))
}
