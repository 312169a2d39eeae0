//! The memory of answers that their readers have not received yet. It is bounded, for each tenant and for
//! all together, because readers may be slow and many at once (I6).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use domain::limits::{ANSWER_BYTES_MAX, ANSWER_BYTES_OF_TENANT_MAX};
use domain::tenant::TenantId;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::RequestTenant;

/// Time between two looks for room in the budget.
const ROOM_POLL: Duration = Duration::from_millis(20);

/// The memory that answers may take together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseBudget(Arc<Mutex<BudgetUse>>);

/// Bytes that are reserved now.
#[derive(Debug, Default)]
struct BudgetUse {
    all: usize,
    /// Tenants without a reservation are left out.
    by_tenant: HashMap<TenantId, usize>,
}

/// A part of the budget that is one tenant's, given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: ResponseBudget,
    tenant: TenantId,
    bytes: usize,
}

/// Bytes that own their reservation: it is given back when the last piece of them is dropped.
struct ReservedBytes {
    bytes: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ResponseBudget {
    /// Reserves `bytes` for a tenant; `None` when there is no room.
    fn reserve(&self, tenant: &TenantId, bytes: usize) -> Option<Reservation> {
        let mut reserved = self.0.lock();
        let own = reserved.by_tenant.get(tenant).copied().unwrap_or(0);
        let fits = reserved.all + bytes <= ANSWER_BYTES_MAX && own + bytes <= ANSWER_BYTES_OF_TENANT_MAX;
        fits.then(|| reserved.add(self, tenant, bytes))
    }

    /// Reserves `bytes` for a tenant, even when there is no room.
    fn reserve_regardless(&self, tenant: &TenantId, bytes: usize) -> Reservation {
        self.0.lock().add(self, tenant, bytes)
    }

    /// Reserves `bytes` for a tenant, waiting up to `time_max` for readers to receive other answers.
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

    /// Refuses a tenant whose own answers fill its part of the budget.
    pub(crate) fn check_own_room(&self, tenant: &TenantId) -> Result<(), Problem> {
        let own = self.0.lock().by_tenant.get(tenant).copied().unwrap_or(0);
        if own < ANSWER_BYTES_OF_TENANT_MAX { Ok(()) } else { Err(no_room()) }
    }

    /// Whether `bytes` more would fit.
    pub(crate) fn has_room(&self, tenant: &TenantId, bytes: usize) -> bool {
        self.reserve(tenant, bytes).is_some()
    }

    /// Counts the body of an answer, if it is in memory whole, until it has been sent. The answer to a
    /// request without a tenant is small, or shared by all, and is not counted. Without room the answer is
    /// refused, unless `is_done`: then the change is made, and a client without the answer would
    /// send its request again.
    pub(crate) async fn reserve_body(
        &self,
        request: &RequestTenant,
        response: Response,
        is_done: bool,
    ) -> Result<Response, Problem> {
        let exact = response.body().size_hint().exact();
        let (Some(tenant), Some(1..)) = (request.tenant(), exact) else { return Ok(response) };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|why| Problem::internal(why.to_string()))?.to_bytes();
        let reservation =
            if is_done { Some(self.reserve_regardless(tenant, body.len())) } else { self.reserve(tenant, body.len()) };
        let reservation = reservation.ok_or_else(no_room)?;
        Ok(Response::from_parts(parts, Body::from(reservation.attach_to(body))))
    }
}

fn no_room() -> Problem {
    let detail = "the answers that wait for their readers fill the memory set aside for them";
    Problem::new(ProblemKind::Overloaded, detail)
}

impl Reservation {
    /// The bytes, which give the reservation back when the last piece of them has been sent.
    pub(crate) fn attach_to(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(ReservedBytes { bytes, _reservation: self })
    }
}

impl BudgetUse {
    fn add(&mut self, budget: &ResponseBudget, tenant: &TenantId, bytes: usize) -> Reservation {
        self.all += bytes;
        *self.by_tenant.entry(tenant.clone()).or_insert(0) += bytes;
        Reservation { budget: budget.clone(), tenant: tenant.clone(), bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.budget.0.lock();
        reserved.all -= self.bytes;
        if let Some(own) = reserved.by_tenant.get_mut(&self.tenant) {
            *own -= self.bytes;
            if *own == 0 {
                reserved.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse;

    use super::*;
    use crate::request_tenant::Access;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn i6_answers_that_wait_for_their_readers_take_bounded_memory() {
        let (budget, request) = (ResponseBudget::default(), RequestTenant::default());
        let [a, b] = ["a", "b"].map(tenant);
        request.set(&a, Access::Read);
        let answer = || Bytes::from(vec![7; 1 << 20]).into_response();
        let mut waiting = Vec::new();
        for _ in 0..ANSWER_BYTES_OF_TENANT_MAX >> 20 {
            waiting.push(budget.reserve_body(&request, answer(), false).await.unwrap());
        }
        assert!(budget.reserve_body(&request, answer(), false).await.is_err() && budget.check_own_room(&a).is_err());
        assert!(budget.check_own_room(&b).is_ok() && budget.has_room(&b, 1) && !budget.has_room(&a, 1));
        drop(budget.reserve_body(&request, answer(), true).await.unwrap());
        let second = Duration::from_secs(1);
        let reservation = budget.reserve_within(second, &b, 16).await.unwrap();
        let mut piece = reservation.attach_to(Bytes::from_static(b"another tenant's"));
        assert!(budget.reserve_within(ROOM_POLL, &a, 10).await.is_none());
        // A reader that has received one makes room, and not before it has received all of it.
        let received = waiting.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
        let rest = received.slice(1..);
        drop(received);
        assert!(budget.reserve_body(&request, answer(), false).await.is_err());
        drop(rest);
        assert!(budget.reserve_body(&request, answer(), false).await.is_ok());
        drop(waiting);
        let _ = piece.split_to(4);
        let reserved = || {
            let reserved = budget.0.lock();
            (reserved.all, reserved.by_tenant.len())
        };
        assert_eq!(reserved(), (16, 1));
        drop(piece);
        assert_eq!(reserved(), (0, 0));
    }
}
