//! The body of an ingest request, as sent: decompressed and parsed by the pipeline. Also how every body is
//! read: within its size and time, and within the memory that is set aside for bodies (I6).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http_body_util::BodyExt;
use pipeline::IngestRequest;
use pipeline::shares::{Holder, Share, Shares};

use super::arrival::{Proof, address_of};
use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::RequestTenant;
use crate::state::ApiState;

/// Largest capacity that a declared length is trusted with before its bytes have come, in bytes.
const TRUSTED_BYTES_MAX: usize = 64 << 10;

/// A body in memory, and its reservation of the memory of all bodies, given back on drop.
#[derive(Debug)]
pub(crate) struct IngestBody {
    pub(crate) request: IngestRequest,
    pub(crate) reservation: BodyShare,
}

/// What a body holds of the memory of all bodies.
#[derive(Debug)]
pub(crate) struct BodyShare {
    of_all: Share,
    /// What it holds of the part for those whose credential is not checked yet, which addresses share.
    of_unproven: Option<Share>,
}

impl BodyShare {
    /// Begins to hold what is the tenant's of the request; all requests without one are one.
    fn begin(head: &Parts, all: &Arc<Shares>) -> Option<Self> {
        let tenant = head.extensions.get::<RequestTenant>().and_then(RequestTenant::tenant);
        all.take(tenant, 0).map(|of_all| Self { of_all, of_unproven: None })
    }

    /// Begins to hold what is nobody's, of a signed request: whoever names the secret of another holds nothing in the
    /// other's name, and from one address nothing that all others need.
    fn begin_unproven(head: &Parts, api: &ApiState) -> Option<Self> {
        let of_unproven = api.unproven_body_bytes.take_as(Holder::at(address_of(head)), 0)?;
        let of_all = api.body_bytes.take_as(Holder::Unproven, 0)?;
        Some(Self { of_all, of_unproven: Some(of_unproven) })
    }

    fn grow(&mut self, bytes: u64) -> bool {
        self.of_unproven.as_mut().is_none_or(|share| share.grow(bytes)) && self.of_all.grow(bytes)
    }
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
        let share = match parts.extensions.get::<Proof>() {
            Some(_) => BodyShare::begin_unproven(&parts, api),
            None => BodyShare::begin(&parts, &api.body_bytes),
        };
        let (bytes, reservation) = in_time(read(share, &mut body, limit), limits.body_timeout).await?;
        let request = IngestRequest {
            content_type: header(CONTENT_TYPE),
            content_encoding: header(CONTENT_ENCODING),
            body: bytes.into(),
            wait: false,
            strict: false,
            quota: false,
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
) -> Result<(Vec<u8>, BodyShare), Problem> {
    in_time(read(BodyShare::begin(head, all), body, limit), time_max).await
}

async fn in_time<T>(reading: impl Future<Output = Result<T, Problem>>, time_max: Duration) -> Result<T, Problem> {
    tokio::time::timeout(time_max, reading).await.unwrap_or_else(|_| {
        let seconds = time_max.as_secs_f64();
        Err(Problem::new(ProblemKind::BodyTimeout, format!("the body did not arrive within {seconds} s")))
    })
}

async fn read(share: Option<BodyShare>, body: &mut Body, limit: usize) -> Result<(Vec<u8>, BodyShare), Problem> {
    let too_large = || Problem::new(ProblemKind::TooLarge, format!("the body is larger than {limit} bytes"));
    let busy =
        || Problem::new(ProblemKind::Overloaded, "the bodies of other requests fill the memory set aside for them");
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit {
        return Err(too_large());
    }
    let mut reservation = share.ok_or_else(busy)?;
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
