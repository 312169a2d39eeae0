//! The memory of answers that their readers have not received yet. It is bounded, of all tenants
//! together and of each, because a reader may take its time, and many readers may do so at once (I6).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::limits::{ANSWER_BYTES_MAX, ANSWER_BYTES_OF_TENANT_MAX};
use domain::tenant::TenantId;
use http_body_util::BodyExt;
use parking_lot::Mutex;

use crate::problem::{Kind, Problem};

/// Who asks; known once the key has been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker(Arc<OnceLock<TenantId>>);

impl Asker {
    /// Notes who it is.
    pub(crate) fn is(&self, tenant: &TenantId) {
        self.0.get_or_init(|| tenant.clone());
    }
}

/// What all answers together take.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only tenants that have any.
    of: HashMap<TenantId, usize>,
}

/// The right to hold so many bytes for a reader of a tenant.
#[derive(Debug)]
pub(crate) struct Share {
    answers: Answers,
    tenant: TenantId,
    bytes: usize,
}

/// Bytes with their share: part of one, however many readers hold a piece of them.
struct Shared {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    /// `None` when there is no room.
    pub(crate) fn share(&self, tenant: &TenantId, bytes: usize) -> Option<Share> {
        let mut taken = self.0.lock();
        let own = taken.of.get(tenant).copied().unwrap_or(0);
        if taken.all + bytes > ANSWER_BYTES_MAX || own + bytes > ANSWER_BYTES_OF_TENANT_MAX {
            return None;
        }
        taken.all += bytes;
        *taken.of.entry(tenant.clone()).or_insert(0) += bytes;
        Some(Share { answers: self.clone(), tenant: tenant.clone(), bytes })
    }

    /// The same bytes, counted until the last piece of them has been sent.
    pub(crate) fn hold(&self, tenant: &TenantId, bytes: Bytes) -> Option<Bytes> {
        let share = self.share(tenant, bytes.len())?;
        Some(Bytes::from_owner(Shared { bytes, _share: share }))
    }

    /// An answer whose body, if it is there whole, is counted until it has been sent. What has no tenant is
    /// small, or the same for everybody.
    pub(crate) async fn hold_body(&self, asker: &Asker, response: Response) -> Response {
        let (Some(tenant), Some(1..)) = (asker.0.get(), response.body().size_hint().exact()) else { return response };
        let (parts, body) = response.into_parts();
        let held = body.collect().await.ok().and_then(|body| self.hold(tenant, body.to_bytes()));
        match held {
            Some(bytes) => Response::from_parts(parts, Body::from(bytes)),
            None => {
                let detail = "the answers that wait for their readers fill the memory set aside for them";
                Problem::new(Kind::Overloaded, detail).into_response()
            }
        }
    }
}

impl Drop for Share {
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

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn i6_answers_that_wait_for_their_readers_take_bounded_memory() {
        let (answers, asker) = (Answers::default(), Asker::default());
        let [a, b] = ["a", "b"].map(tenant);
        asker.is(&a);
        let answer = || Bytes::from(vec![7; 1 << 20]).into_response();
        let mut waiting = Vec::new();
        for _ in 0..ANSWER_BYTES_OF_TENANT_MAX >> 20 {
            let answer = answers.hold_body(&asker, answer()).await;
            assert_eq!(answer.status(), 200);
            waiting.push(answer);
        }
        assert_eq!(answers.hold_body(&asker, answer()).await.status(), 503);
        let mut piece = answers.hold(&b, Bytes::from_static(b"another tenant's")).unwrap();
        // A reader that has received one makes room, and not before it has received all of it.
        let received = waiting.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
        let rest = received.slice(1..);
        drop(received);
        assert_eq!(answers.hold_body(&asker, answer()).await.status(), 503);
        drop(rest);
        assert_eq!(answers.hold_body(&asker, answer()).await.status(), 200);
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
