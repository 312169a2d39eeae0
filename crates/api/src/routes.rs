//! The routes, one file per subject. Each handler reads the request, asks a read port or a role of the
//! pipeline, and shapes the answer.

#![expect(unused_qualifications, reason = "the expansion of utoipa::path repeats paths")]

mod accounts;
mod analytics;
mod audit;
mod auth;
mod customers;
mod erasures;
pub(crate) mod docs;
mod encryption;
mod events;
mod health;
mod home;
mod ingest;
mod keys;
mod live;
mod members;
mod metrics;
mod projects;
mod query;
mod quotas;
mod rates;
mod receipts;
mod settings;
mod stats;
mod reference;
mod stream;
mod users;
mod windows;
mod workspaces;

use domain::access::rights::Permission::{
    Erase, ManageEncryption, ManageKeys, ManageMembers, ManageServer, ReadAggregates, ReadAudit, ReadReference,
    ReadSettings, WriteEvents, WriteSettings,
};
use utoipa_axum::routes;

use crate::needs::{Needs, Routes};

/// All documented routes.
pub(crate) fn all() -> Routes {
    Routes::new(docs::base())
        .merge(events_and_usage())
        .merge(unversioned().named("_unversioned"))
        .nest("/v1", unversioned())
        .merge(workspace())
        .merge(people())
        .merge(server())
        .merge(operations())
}

fn events_and_usage() -> Routes {
    Routes::default()
        .with(Needs::Events, routes!(events::list))
        .with(Needs::Events, routes!(events::one))
        .with(Needs::Events, routes!(query::run))
        .with(Needs::Permission(WriteEvents), docs::with_events(routes!(ingest::events)))
        .with(Needs::Permission(WriteEvents), docs::with_events(routes!(ingest::ingest)))
        .with(Needs::Permission(WriteEvents), docs::with_events(routes!(ingest::events_as_job)))
        .with(Needs::Permission(WriteEvents), routes!(receipts::one))
        .with(Needs::Permission(ReadAggregates), routes!(windows::list))
        .with(Needs::Permission(ReadAggregates), routes!(customers::list))
        .with(Needs::Permission(ReadAggregates), routes!(customers::one))
        .with(Needs::Permission(WriteSettings), routes!(customers::change))
        .with(Needs::Permission(ReadAggregates), routes!(customers::usage))
        .with(Needs::Permission(ReadAggregates), routes!(live::live))
        .with(Needs::Permission(ReadAggregates), routes!(stream::sse))
        .with(Needs::Permission(ReadAggregates), routes!(stream::ws))
        .with(Needs::Permission(ReadSettings), routes!(settings::read))
        .with(Needs::Permission(WriteSettings), routes!(settings::change))
        .with(Needs::Permission(ReadSettings), routes!(encryption::read))
        .with(Needs::Permission(ManageEncryption), routes!(encryption::change))
        .with(Needs::Permission(ManageEncryption), routes!(encryption::rotate))
        .with(Needs::Permission(ReadSettings), routes!(quotas::read))
}

/// Routes also served without `/v1`. In the API's document, where an operation has one path, their names then end
/// in `_unversioned`.
fn unversioned() -> Routes {
    Routes::default()
        .with(Needs::Permission(ReadAggregates), routes!(stats::dau))
        .with(Needs::Permission(ReadAggregates), routes!(stats::wau))
        .with(Needs::Permission(ReadAggregates), routes!(stats::mau))
        .with(Needs::Permission(ReadAggregates), routes!(stats::top_events))
        .with(Needs::Permission(ReadAggregates), routes!(stats::retention))
        .with(Needs::Permission(ReadAggregates), routes!(accounts::sample))
        .with(Needs::Permission(ReadAggregates), routes!(accounts::summary))
        .with(Needs::Permission(ReadAggregates), routes!(analytics::analytics))
        .with(Needs::Permission(ReadReference), routes!(reference::read))
        .with(Needs::Permission(WriteSettings), routes!(reference::replace, reference::patch))
}

/// The workspace that a request acts in, and who may act there.
fn workspace() -> Routes {
    Routes::default()
        .with(Needs::Permission(ReadSettings), routes!(workspaces::current))
        .with(Needs::Permission(WriteSettings), routes!(workspaces::change_current))
        .with(Needs::Permission(ReadSettings), routes!(projects::list))
        .with(Needs::Permission(WriteSettings), routes!(projects::create))
        .with(Needs::Permission(WriteSettings), routes!(projects::change, projects::remove))
        .with(Needs::Permission(ManageMembers), routes!(members::list))
        .with(Needs::Permission(ManageMembers), routes!(members::change, members::remove))
        .with(Needs::Permission(ReadSettings), routes!(members::leave))
        .with(Needs::Permission(ManageMembers), routes!(members::invitations, members::invite))
        .with(Needs::Permission(ManageMembers), routes!(members::withdraw))
        .with(Needs::Permission(ManageKeys), routes!(keys::list, keys::create))
        .with(Needs::Permission(ManageKeys), routes!(keys::one, keys::change, keys::revoke))
        .with(Needs::Permission(ManageKeys), routes!(keys::rotate))
        .with(Needs::Permission(ManageKeys), routes!(keys::secrets, keys::create_secret))
        .with(Needs::Permission(ManageKeys), routes!(keys::revoke_secret))
        .with(Needs::Permission(ReadAudit), routes!(audit::list))
        .with(Needs::Permission(Erase), routes!(erasures::list, erasures::create))
        .with(Needs::Permission(Erase), routes!(erasures::one))
}

fn people() -> Routes {
    Routes::default()
        .with(Needs::Nothing, routes!(auth::login))
        .with(Needs::Nothing, routes!(auth::register))
        .with(Needs::Nothing, routes!(auth::refresh))
        .with(Needs::Nothing, routes!(auth::reset))
        .with(Needs::Nothing, routes!(auth::jwks))
        .with(Needs::Login, routes!(auth::logout))
        .with(Needs::Login, routes!(auth::password))
        .with(Needs::Login, routes!(auth::me, auth::change_me))
}

/// For the operator of the server.
fn server() -> Routes {
    Routes::default()
        .with(Needs::Permission(ManageServer), routes!(workspaces::list, workspaces::create))
        .with(Needs::Permission(ManageServer), routes!(workspaces::one, workspaces::change))
        .with(Needs::Permission(ManageServer), routes!(workspaces::add_member))
        .with(Needs::Permission(ManageServer), routes!(workspaces::keys, workspaces::create_key))
        .with(Needs::Permission(ManageServer), routes!(rates::change_key))
        .with(Needs::Permission(ManageServer), routes!(quotas::list, quotas::set, quotas::remove))
        .with(Needs::Permission(ManageServer), routes!(erasures::of_workspace))
        .with(Needs::Permission(ManageServer), routes!(workspaces::operator_keys, workspaces::create_operator_key))
        .with(Needs::Permission(ManageServer), routes!(workspaces::revoke_operator_key))
        .with(Needs::Permission(ManageServer), routes!(users::list))
        .with(Needs::Permission(ManageServer), routes!(users::change))
        .with(Needs::Permission(ManageServer), routes!(users::reset))
        .with(Needs::Permission(ManageServer), routes!(users::rotate_token_key))
        .with(Needs::Permission(ManageServer), routes!(audit::server))
}

fn operations() -> Routes {
    Routes::default()
        .with(Needs::Nothing, routes!(home::home))
        .with(Needs::Nothing, routes!(health::healthz))
        .with(Needs::Nothing, routes!(health::livez))
        .with(Needs::Nothing, routes!(health::readyz))
        .with(Needs::Metrics, routes!(metrics::metrics))
}
