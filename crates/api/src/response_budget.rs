//! The memory of answers that their readers have not received yet. It is bounded, of all tenants
//! together and of each, because a reader may take its time, and many readers may do so at once (I6).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use domain::limits::{ANSWER_BYTES_MAX, ANSWER_BYTES_OF_TENANT_MAX};
use domain::tenant::TenantId;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::problem::{Problem, ProblemKind};

/// How often it is looked whether readers have made room.
const ROOM_POLL: Duration = Duration::from_millis(20);

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads: its answer may be refused, since asking again does no harm.
    Read,
    /// It changes something: what its answer tells has been done.
    Write,
}

/// The tenant of a request and what the request does, once its handler has read the key.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestTenant(Arc<OnceLock<(TenantId, Access)>>);

impl RequestTenant {
    /// The tenant, if it is known yet.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.0.get().map(|(tenant, _)| tenant)
    }

    /// What the request does: a request without a tenant changes nothing.
    pub(crate) fn access(&self) -> Access {
        self.0.get().map_or(Access::Read, |(_, access)| *access)
    }

    /// Notes the tenant of the key, and what the route says that it does.
    pub(crate) fn set(&self, tenant: &TenantId, access: Access) {
        self.0.get_or_init(|| (tenant.clone(), access));
    }
}

/// What all answers together take.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseBudget(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only tenants that have any.
    of: HashMap<TenantId, usize>,
}

/// The right to hold so many bytes for a reader of a tenant.
#[derive(Debug)]
pub(crate) struct Reservation {
    answers: ResponseBudget,
    tenant: TenantId,
    bytes: usize,
}

/// Bytes with their reservation: part of one, however many readers hold a piece of them.
struct Shared {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ResponseBudget {
    /// `None` when there is no room.
    fn reserve(&self, tenant: &TenantId, bytes: usize) -> Option<Reservation> {
        let mut taken = self.0.lock();
        let own = taken.of.get(tenant).copied().unwrap_or(0);
        let fits = taken.all + bytes <= ANSWER_BYTES_MAX && own + bytes <= ANSWER_BYTES_OF_TENANT_MAX;
        fits.then(|| taken.add(self, tenant, bytes))
    }

    /// Whether there is room or not.
    fn take(&self, tenant: &TenantId, bytes: usize) -> Reservation {
        self.0.lock().add(self, tenant, bytes)
    }

    /// The same when there is room within `time_max`: readers make some while they receive.
    pub(crate) async fn reserve_within(
        &self,
        time_max: Duration,
        tenant: &TenantId,
        bytes: usize,
    ) -> Option<Reservation> {
        let waiting = async {
            loop {
                match self.reserve(tenant, bytes) {
                    Some(reservation) => return reservation,
                    None => tokio::time::sleep(ROOM_POLL).await,
                }
            }
        };
        tokio::time::timeout(time_max, waiting).await.ok()
    }

    /// Refuses a tenant whose own readers have left no room.
    pub(crate) fn check_own_room(&self, tenant: &TenantId) -> Result<(), Problem> {
        let own = self.0.lock().of.get(tenant).copied().unwrap_or(0);
        if own < ANSWER_BYTES_OF_TENANT_MAX { Ok(()) } else { Err(no_room()) }
    }

    /// Whether so many bytes more would fit.
    pub(crate) fn has_room(&self, tenant: &TenantId, bytes: usize) -> bool {
        self.reserve(tenant, bytes).is_some()
    }

    /// An answer whose body, if it is there whole, is counted until it has been sent. What has no tenant is
    /// small, or the same for everybody. Without room it is refused, unless `is_done`: what it tells of has
    /// happened, and whoever is not told would ask for it again.
    pub(crate) async fn hold_body(
        &self,
        request: &RequestTenant,
        response: Response,
        is_done: bool,
    ) -> Result<Response, Problem> {
        let exact = response.body().size_hint().exact();
        let (Some(tenant), Some(1..)) = (request.tenant(), exact) else { return Ok(response) };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|why| Problem::internal(why.to_string()))?.to_bytes();
        let reservation = if is_done { Some(self.take(tenant, body.len())) } else { self.reserve(tenant, body.len()) };
        let reservation = reservation.ok_or_else(no_room)?;
        Ok(Response::from_parts(parts, Body::from(reservation.hold(body))))
    }
}

fn no_room() -> Problem {
    let detail = "the answers that wait for their readers fill the memory set aside for them";
    Problem::new(ProblemKind::Overloaded, detail)
}

impl Reservation {
    /// Bytes that are counted until the last piece of them has been sent.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Shared { bytes, _reservation: self })
    }
}

impl Taken {
    fn add(&mut self, answers: &ResponseBudget, tenant: &TenantId, bytes: usize) -> Reservation {
        self.all += bytes;
        *self.of.entry(tenant.clone()).or_insert(0) += bytes;
        Reservation { answers: answers.clone(), tenant: tenant.clone(), bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.answers.0.lock();
        taken.all -= self.bytes;
        if let Some(own) = taken.of.get_mut(&self.tenant) {
            *own -= self.bytes;
            if *own == 0 {
                taken.of.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn i6_answers_that_wait_for_their_readers_take_bounded_memory() {
        let (answers, request) = (ResponseBudget::default(), RequestTenant::default());
        let [a, b] = ["a", "b"].map(tenant);
        request.set(&a, Access::Read);
        let answer = || Bytes::from(vec![7; 1 << 20]).into_response();
        let mut waiting = Vec::new();
        for _ in 0..ANSWER_BYTES_OF_TENANT_MAX >> 20 {
            waiting.push(answers.hold_body(&request, answer(), false).await.unwrap());
        }
        assert!(answers.hold_body(&request, answer(), false).await.is_err() && answers.check_own_room(&a).is_err());
        assert!(answers.check_own_room(&b).is_ok() && answers.has_room(&b, 1) && !answers.has_room(&a, 1));
        drop(answers.hold_body(&request, answer(), true).await.unwrap());
        let second = Duration::from_secs(1);
        let reservation = answers.reserve_within(second, &b, 16).await.unwrap();
        let mut piece = reservation.hold(Bytes::from_static(b"another tenant's"));
        assert!(answers.reserve_within(ROOM_POLL, &a, 10).await.is_none());
        // A reader that has received one makes room, and not before it has received all of it.
        let received = waiting.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
        let rest = received.slice(1..);
        drop(received);
        assert!(answers.hold_body(&request, answer(), false).await.is_err());
        drop(rest);
        assert!(answers.hold_body(&request, answer(), false).await.is_ok());
        drop(waiting);
        let _ = piece.split_to(4);
        let taken = || {
            let taken = answers.0.lock();
            (taken.all, taken.of.len())
        };
        assert_eq!(taken(), (16, 1));
        drop(piece);
        assert_eq!(taken(), (0, 0));
    }
}
