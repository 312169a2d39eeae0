//! What happened in the last seconds.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::limits::QUERY_TIME_MAX;
use domain::tenant::TenantScope;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::answer_within;
use crate::extract::{Parameters, ReadScope};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::ListRefusals;
use crate::shape::LiveBody;
use crate::state::ApiState;

/// Length of the window when the request names none, in seconds.
const WINDOW_SEC_DEFAULT: u32 = 300;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveParameters {
    /// Length of the window in seconds: 1 to what is kept (1800 if not configured otherwise), 300 if not given.
    #[param(value_type = Option<u32>, minimum = 1, default = 300)]
    window: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamParameters {
    /// Length of the window in seconds: 1 to what is kept (1800 if not configured otherwise), 300 if not given.
    #[param(value_type = Option<u32>, minimum = 1, default = 300)]
    window: Option<String>,
    /// The workspace, where a browser cannot send the header `Nilometer-Workspace`.
    #[expect(dead_code, reason = "read with the credential, before any handler")]
    workspace: Option<String>,
}

impl StreamParameters {
    /// As [`LiveParameters::seconds`].
    pub(crate) fn seconds(self, api: &ApiState) -> Result<u32, Problem> {
        LiveParameters { window: self.window }.seconds(api)
    }
}

impl LiveParameters {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.is_none()
    }

    /// The length in seconds; refuses while the view is not whole.
    pub(crate) fn seconds(&self, api: &ApiState) -> Result<u32, Problem> {
        let live = api.pipeline.live()?;
        let longest = live.retention_sec();
        let seconds = match &self.window {
            None => WINDOW_SEC_DEFAULT.min(longest),
            Some(text) => {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit());
                let seconds = text.parse().ok().filter(|seconds| plain && (1..=longest).contains(seconds));
                let why = || format!("'window' must be a whole number of seconds from 1 to {longest}");
                seconds.ok_or_else(|| Problem::parameter("window", why()))?
            }
        };
        match live.problem() {
            None => Ok(seconds),
            Some(why) => Err(Problem::new(ProblemKind::Unavailable, format!("the live view is not whole yet: {why}"))),
        }
    }
}

/// Read the live view
///
/// Events of the last seconds, the current one included, each in its own second whenever it came, enriched
/// with the reference table as it is now.
#[utoipa::path(
    get, path = "/v1/live", tag = "live", operation_id = "live", params(LiveParameters),
    responses((status = 200, description = "The window", body = LiveBody), ListRefusals),
)]
pub(crate) async fn live(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<LiveParameters>,
) -> Result<Json<LiveBody>, Problem> {
    window(&api, &scope, &parameters).await
}

pub(super) async fn window(
    api: &ApiState,
    scope: &TenantScope,
    parameters: &LiveParameters,
) -> Result<Json<LiveBody>, Problem> {
    let seconds = parameters.seconds(api)?;
    let window = answer_within(QUERY_TIME_MAX, api.pipeline.live()?.window(scope, seconds)).await?;
    Ok(Json(LiveBody::new(seconds, &window)))
}
