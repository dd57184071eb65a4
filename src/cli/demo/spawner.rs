//! Lets hyper start its tasks in a group of ours, so that they are waited for like every other.

use crate::tasks::Tasks;

#[derive(Clone, Debug)]
pub(super) struct Spawner(pub(super) Tasks);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http2", future);
    }
}
