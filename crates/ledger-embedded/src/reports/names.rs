//! The names of users by their numbers: from the memtables that brought them, else from the manifest.

use domain::tenant::TenantScope;
use domain::users::UserNumber;
use ports::PortError;

use crate::core::Core;

impl Core {
    /// The names of users by number, in the same order; `None` for numbers without a user or with one that was
    /// erased.
    pub(crate) async fn user_names(
        &self,
        scope: &TenantScope,
        users: &[UserNumber],
    ) -> Result<Vec<Option<String>>, PortError> {
        let tenant = scope.tenant();
        // What is flushed after this look was in its memtables: a name is in one of the two.
        let (snapshot, mut names) = self.view(|active| active.user_names(tenant, users));
        if let Some(frozen) = &snapshot.frozen {
            fill(&mut names, frozen.user_names(tenant, users));
        }
        if names.iter().any(Option::is_none) {
            fill(&mut names, self.manifest.user_names(scope, users).await?);
        }
        // The name of an erased user is empty.
        names.iter_mut().for_each(|name| *name = name.take().filter(|name| !name.is_empty()));
        Ok(names)
    }
}

fn fill(names: &mut [Option<String>], more: Vec<Option<String>>) {
    for (name, found) in names.iter_mut().zip(more) {
        if name.is_none() {
            *name = found;
        }
    }
}
