//! The projects of a workspace.

use std::sync::Arc;

use domain::access::record::{Project, Record, Versioned};
use domain::limits::NAME_BYTES_MAX;
use serde_json::json;

use super::{AccessControl, By, CreationKey, Plan, check_name, check_version, json};
use crate::failure::AccessError;

/// Most projects of one workspace.
const PROJECTS_MAX: usize = 10_000;

/// A change of a project.
#[derive(Debug, Clone)]
pub enum ProjectChange {
    /// Another name for people.
    Rename(String),
    /// It is no longer listed. Events keep its id, and keys that are bound to it stay.
    Remove,
}

impl AccessControl {
    /// Makes a project, or brings one back that was removed.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_project(
        self: &Arc<Self>,
        by: &By,
        id: &str,
        name: Option<&str>,
        key: Option<CreationKey>,
    ) -> Result<Project, AccessError> {
        let workspace = by.workspace()?.clone();
        self.change_by(by, |register, now| {
            if let Some(made) = key.map(|key| key.made(register, now)).transpose()?.flatten() {
                let made = register.project(&workspace, &made).cloned();
                return made.map(|made| (Plan::default(), made)).ok_or(AccessError::NotFound("project"));
            }
            if id.is_empty() || id.len() > NAME_BYTES_MAX || id.contains(char::is_control) || id.trim() != id {
                let why = format!("must have 1 to {NAME_BYTES_MAX} bytes of text without control characters");
                return Err(AccessError::invalid("id", why));
            }
            if register.projects(&workspace, None).count() >= PROJECTS_MAX {
                return Err(AccessError::State("the workspace has as many projects as one may have"));
            }
            let before = register.project(&workspace, id);
            if before.is_some_and(|before| !before.is_removed) {
                return Err(AccessError::Exists { field: "id", why: "is the id of another project" });
            }
            let project = Project {
                workspace: workspace.clone(),
                id: id.into(),
                name: check_name("name", name.unwrap_or(id))?,
                is_removed: false,
                versioned: before.map_or(Versioned::new(now), |before| before.versioned.next(now)),
            };
            let draft = by.cause.draft(Some(&workspace), now, "project.create", format!("project:{id}"));
            let draft = draft.changing(None, describe(&project));
            let plan = Plan::of(Record::Project(project.clone()), draft);
            Ok((plan.and(key.map(|key| key.record(Some(&workspace), id, now))), project))
        })
        .await
    }

    /// Changes a project.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_project(
        self: &Arc<Self>,
        by: &By,
        id: &str,
        change: ProjectChange,
        version: Option<u64>,
    ) -> Result<Project, AccessError> {
        let workspace = by.workspace()?.clone();
        self.change_by(by, |register, now| {
            let before = register.project(&workspace, id).filter(|project| !project.is_removed);
            let before = before.ok_or(AccessError::NotFound("project"))?;
            check_version(version, before.versioned.version)?;
            let (action, name, is_removed) = match &change {
                ProjectChange::Rename(name) => ("project.change", check_name("name", name)?, false),
                ProjectChange::Remove => ("project.remove", before.name.clone(), true),
            };
            let after = Project { name, is_removed, versioned: before.versioned.next(now), ..before.clone() };
            let draft = by.cause.draft(Some(&workspace), now, action, format!("project:{id}"));
            let draft = draft.changing(describe(before), (!is_removed).then(|| describe(&after)).flatten());
            Ok((Plan::of(Record::Project(after.clone()), draft), after))
        })
        .await
    }
}

fn describe(project: &Project) -> Option<String> {
    json(&json!({ "name": project.name }))
}
