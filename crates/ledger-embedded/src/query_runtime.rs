//! Where queries run: threads of their own, so that a heavy one never holds up a request or the
//! worker; each with a bounded pool of memory and no disk. How many run at once, and whose, is decided
//! above this crate: a query keeps what its caller holds until it holds no memory.

use std::num::NonZero;
use std::sync::Arc;

use datafusion_common::Result as QueryResult;
use datafusion_execution::TaskContext;
use datafusion_execution::config::SessionConfig;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::GreedyMemoryPool;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use domain::limits::QUERIES_AT_ONCE_MAX;
use parking_lot::Mutex;
use ports::{ErrorKind, PortError};
use tokio::runtime::{Builder, Handle, Runtime};

/// Rows that the operators hand on at once.
const BATCH_ROWS: usize = 8_192;
/// Most threads of queries.
const THREADS_MAX: usize = 8;

/// Threads and memory of queries; the threads start with the first query.
#[derive(Debug, Default)]
pub(crate) struct QueryRuntime {
    runtime: Mutex<Option<Runtime>>,
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads of one query, and its partitions. Every query that may run has its own, so that the system
/// shares the processors out among queries and not among their steps, of which some take a second.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, THREADS_MAX)
}

impl QueryRuntime {
    /// The threads.
    pub(crate) fn handle(&self) -> Result<Handle, PortError> {
        let mut runtime = self.runtime.lock();
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread()
            .worker_threads(threads() * QUERIES_AT_ONCE_MAX)
            .thread_name("nilometer-query")
            .enable_time()
            .build();
        let started = started
            .map_err(|why| PortError::new(ErrorKind::Unavailable, "start the threads of queries").because(why))?;
        Ok(runtime.insert(started).handle().clone())
    }
}

/// What one query runs in; it may take this much memory.
pub(crate) fn context(memory_bytes_max: usize) -> QueryResult<TaskContext> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let pool = Arc::new(GreedyMemoryPool::new(memory_bytes_max));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk).build_arc()?;
    let config = SessionConfig::new().with_batch_size(BATCH_ROWS);
    Ok(TaskContext::default().with_session_config(config).with_runtime(runtime))
}
