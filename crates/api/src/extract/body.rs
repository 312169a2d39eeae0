//! The body of an ingest request, as sent: decompressed and parsed by the pipeline. Also how every body is
//! read: within its size and time, and within the memory that is set aside for bodies (I6).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use domain::tenant::TenantId;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http_body_util::BodyExt;
use pipeline::IngestRequest;
use pipeline::shares::{Share, Shares};

use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::RequestTenant;
use crate::state::ApiState;

/// Largest capacity that a declared length is trusted with before its bytes have come, in bytes.
const TRUSTED_BYTES_MAX: usize = 64 << 10;

/// A body in memory, and its reservation of the memory of all bodies, given back on drop.
#[derive(Debug)]
pub(crate) struct IngestBody {
    pub(crate) request: IngestRequest,
    pub(crate) reservation: Share,
}

impl FromRequest<Arc<ApiState>> for IngestBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let limits = api.pipeline.limits();
        let limit = limits.body_bytes_max;
        let (parts, mut body) = request.into_parts();
        if parts.headers.contains_key("ce-specversion") {
            let detail =
                "CloudEvents in binary mode are not taken; send them structured (application/cloudevents+json)";
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail).at("ce-specversion"));
        }
        // Lines of one header that say the same are one; others are a list, which is refused.
        let header = |name: HeaderName| {
            let mut lines: Vec<_> =
                parts.headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
            lines.dedup();
            if lines.len() > 1 {
                // Without their parameters, behind which nothing else is looked at.
                lines.iter_mut().for_each(|line| *line = line.split(';').next().unwrap_or_default().to_owned().into());
            }
            (!lines.is_empty()).then(|| lines.join(", "))
        };
        let (bytes, reservation) = read_in_time(&parts, &mut body, limit, &api.body_bytes, limits.body_timeout).await?;
        let request = IngestRequest {
            content_type: header(CONTENT_TYPE),
            content_encoding: header(CONTENT_ENCODING),
            body: bytes.into(),
            wait: false,
            strict: false,
            key: None,
            project: None,
            events_rate: None,
        };
        Ok(Self { request, reservation })
    }
}

/// Reads a whole body of at most `limit` bytes, which are reserved from `all` as they arrive, for the tenant of the
/// request; all requests without one are one.
pub(super) async fn read_in_time(
    head: &Parts,
    body: &mut Body,
    limit: usize,
    all: &Arc<Shares>,
    time_max: Duration,
) -> Result<(Vec<u8>, Share), Problem> {
    let tenant = head.extensions.get::<RequestTenant>().and_then(RequestTenant::tenant);
    let reading = tokio::time::timeout(time_max, read(tenant, body, limit, all));
    reading.await.unwrap_or_else(|_| {
        let seconds = time_max.as_secs_f64();
        Err(Problem::new(ProblemKind::BodyTimeout, format!("the body did not arrive within {seconds} s")))
    })
}

async fn read(
    tenant: Option<&TenantId>,
    body: &mut Body,
    limit: usize,
    all: &Arc<Shares>,
) -> Result<(Vec<u8>, Share), Problem> {
    let too_large = || Problem::new(ProblemKind::TooLarge, format!("the body is larger than {limit} bytes"));
    let busy =
        || Problem::new(ProblemKind::Overloaded, "the bodies of other requests fill the memory set aside for them");
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(too_large());
    }
    let mut reservation = all.take(tenant, 0).ok_or_else(busy)?;
    let mut bytes = Vec::with_capacity(declared.min(TRUSTED_BYTES_MAX));
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Problem::new(ProblemKind::Malformed, "the body ended before its declared end"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Err(too_large());
        }
        if !reservation.grow(data.len() as u64) {
            return Err(busy());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, reservation))
}
