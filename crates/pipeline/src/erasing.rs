//! Erasures over a running pipeline. One that refuses what comes later must not meet an event between its admission and
//! its count: that would be refused when it is applied, though it was acknowledged. So such an erasure is made while
//! nothing of the workspace is on its way. Its requests wait before they ask whom an erasure refuses; what was admitted
//! before is journaled, applied, counted, and covered by the erasure; what waits is refused at admission. Of a
//! record behind the erasure only such events are refused when it is applied, also in a replay, whose append failed
//! without a known outcome: nobody was told that they are accepted.

use std::sync::Arc;

use async_trait::async_trait;
use domain::erasure::{Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};
use ports::erasures::{Erasures, UnfinishedErasure};
use ports::{ErrorKind, PortError, held};

use crate::pipeline::Pipeline;

/// Erases over a running pipeline.
#[derive(Debug)]
pub struct Erasing {
    pipeline: Arc<Pipeline>,
    erasures: Arc<dyn Erasures>,
}

impl Erasing {
    /// Erases by `erasures` what `pipeline` has counted.
    pub fn over(pipeline: Arc<Pipeline>, erasures: Arc<dyn Erasures>) -> Self {
        Self { pipeline, erasures }
    }
}

#[async_trait]
impl Erasures for Erasing {
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError> {
        if !request.blocks && request.subject != Subject::Workspace {
            return self.erasures.erase(scope, request).await;
        }
        let (pipeline, erasures) = (Arc::clone(&self.pipeline), Arc::clone(&self.erasures));
        let (scope, request) = (scope.clone(), request.clone());
        let asking = async move { pipeline.while_settled(&scope, erasures.erase(&scope, &request)).await };
        // An erasure goes on when its caller has left, and so long requests must wait.
        let asking = tokio::spawn(held::during(held::current(), asking));
        asking.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "ask for an erasure").because(why))?
    }

    fn erased_tenants(&self) -> Vec<TenantId> {
        self.erasures.erased_tenants()
    }

    fn generation(&self, scope: &TenantScope) -> u64 {
        self.erasures.generation(scope)
    }

    fn unfinished(&self) -> Vec<UnfinishedErasure> {
        self.erasures.unfinished()
    }

    fn confirm(&self, ids: &[String]) {
        self.erasures.confirm(ids);
    }

    fn remains(&self) -> Vec<String> {
        self.erasures.remains()
    }

    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure> {
        self.erasures.erasures(scope)
    }
}
