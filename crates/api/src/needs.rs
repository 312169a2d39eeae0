//! What a route needs, said once where the route is declared: without it a route cannot be added. The API's document
//! shows it as `x-permission`, and the extractors hold it against the rights of the caller.

use std::sync::Arc;

use axum::Extension;
use domain::access::rights::Permission;
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, PathItem, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::headers;
use crate::state::ApiState;

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// A person who has logged in, whatever the workspace.
    Login,
    /// This permission, in the workspace that the request acts in.
    Permission(Permission),
    /// [`Permission::ReadEvents`]; encrypted properties are in plain text for who has [`Permission::Decrypt`] too.
    Events,
    /// As [`Needs::Nothing`] on one's own machine and for who has the token of metrics, otherwise
    /// [`Permission::ManageServer`]; with `window` [`Permission::ReadAggregates`].
    Metrics,
}

impl Needs {
    /// Whether a request acts in a workspace, which it may name.
    const fn is_of_workspace(self) -> bool {
        match self {
            Self::Nothing | Self::Login | Self::Permission(Permission::ManageServer) => false,
            Self::Permission(_) | Self::Events | Self::Metrics => true,
        }
    }

    /// As it stands in the document.
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Login => "login",
            Self::Permission(permission) => permission.name(),
            Self::Events => "events:read, decrypt for plain text of encrypted properties",
            Self::Metrics => "server, with window aggregates:read",
        }
    }
}

/// Routes, each with what it needs.
#[derive(Default)]
pub(crate) struct Routes(OpenApiRouter<Arc<ApiState>>);

impl Routes {
    /// No routes, under the head of a document.
    pub(crate) fn new(document: OpenApi) -> Self {
        Self(OpenApiRouter::with_openapi(document))
    }

    /// These routes and some more, all of which need the same.
    #[must_use]
    pub(crate) fn with(self, needs: Needs, mut more: UtoipaMethodRouter<Arc<ApiState>>) -> Self {
        more.1.paths.values_mut().flat_map(operations).for_each(|operation| {
            let told = ExtensionsBuilder::new().add("x-permission", json!(needs.name())).build();
            operation.extensions.get_or_insert_default().merge(told);
            if needs.is_of_workspace() {
                operation.parameters.get_or_insert_default().push(RefOr::T(headers::workspace()));
            }
        });
        more.2 = more.2.layer(Extension(needs));
        Self(self.0.routes(more))
    }

    /// These routes and those of `more`.
    #[must_use]
    pub(crate) fn merge(self, more: Self) -> Self {
        Self(self.0.merge(more.0))
    }

    /// These routes and those of `more` below a path.
    #[must_use]
    pub(crate) fn nest(self, path: &str, more: Self) -> Self {
        Self(self.0.nest(path, more.0))
    }

    /// The names of these routes in the document, each with this ending.
    #[must_use]
    pub(crate) fn named(mut self, ending: &str) -> Self {
        let all = self.0.get_openapi_mut().paths.paths.values_mut().flat_map(operations);
        all.filter_map(|operation| operation.operation_id.as_mut()).for_each(|name| name.push_str(ending));
        self
    }

    /// The routes and their document.
    pub(crate) fn into_router(self) -> OpenApiRouter<Arc<ApiState>> {
        self.0
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = path;
    [get, put, post, delete, patch].into_iter().flatten()
}
