//! Running what reads repositories, which is asynchronous, from commands, which are not.

use std::future::Future;

/// Runs `future` to its end on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime needs an event queue, which the system has").block_on(future)
}
