//! Where saving a record means something elsewhere: passwords, keys, budgets,
//! mail, the audit trail. The engine calls; the server fills in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cf_db::{Tx, Value};

use crate::error::Result;
use crate::principal::Principal;
use crate::record::Record;
use crate::schema::{Action, Collection};
use crate::write::Write;

/// What a hook returns.
pub type HookFuture<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Where a hook is called: in which transaction, for whom, on what.
pub struct Scope<'a> {
    /// The transaction of the write. Effects go to [`Tx::after_commit`].
    pub tx: &'a mut Tx,
    /// The record's collection.
    pub collection: &'a Arc<Collection>,
    /// Who writes.
    pub principal: &'a Principal,
}

/// What happens around a write. Each part may refuse with a
/// [`crate::RecordError`]; then nothing is written.
pub trait Hooks: Send + Sync {
    /// Hashes a password that was sent, before the transaction begins: returns
    /// the columns to be set. `old` is `None` for a new record; where
    /// `oldPassword` was handed over too it is to be checked here. Called only
    /// for what rules and validation let pass. In a batch it runs inside of the
    /// transaction, as later requests see earlier ones.
    fn prepare<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        principal: &'a Principal,
        old: Option<&'a Record>,
        write: &'a Write,
    ) -> HookFuture<'a, Vec<(&'static str, Value)>> {
        let _ = (collection, principal, old, write);
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Before the row is inserted: may set columns.
    fn before_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        let _ = (scope, write);
        Box::pin(async { Ok(()) })
    }

    /// After the row is inserted (a budget needs the user's row): may add to
    /// the answer. The record is read once more afterwards.
    fn after_create<'a>(&'a self, scope: Scope<'a>, write: &'a mut Write) -> HookFuture<'a> {
        let _ = (scope, write);
        Box::pin(async { Ok(()) })
    }

    /// Before the row is changed: may set columns.
    fn before_update<'a>(
        &'a self,
        scope: Scope<'a>,
        old: &'a Record,
        write: &'a mut Write,
    ) -> HookFuture<'a> {
        let _ = (scope, old, write);
        Box::pin(async { Ok(()) })
    }

    /// After the row is changed: may add to the answer. The record is read once
    /// more afterwards.
    fn after_update<'a>(
        &'a self,
        scope: Scope<'a>,
        old: &'a Record,
        write: &'a mut Write,
    ) -> HookFuture<'a> {
        let _ = (scope, old, write);
        Box::pin(async { Ok(()) })
    }

    /// Last of all, with the record as it was and as it is now: for the audit
    /// trail. Deletions that follow from others come here too.
    fn written<'a>(
        &'a self,
        scope: Scope<'a>,
        action: Action,
        old: Option<&'a Record>,
        new: Option<&'a Record>,
    ) -> HookFuture<'a> {
        let _ = (scope, action, old, new);
        Box::pin(async { Ok(()) })
    }

    /// Before the row is deleted.
    fn before_delete<'a>(&'a self, scope: Scope<'a>, old: &'a Record) -> HookFuture<'a> {
        let _ = (scope, old);
        Box::pin(async { Ok(()) })
    }

    /// After the row is deleted.
    fn after_delete<'a>(&'a self, scope: Scope<'a>, old: &'a Record) -> HookFuture<'a> {
        let _ = (scope, old);
        Box::pin(async { Ok(()) })
    }
}

/// Nothing happens around a write.
pub struct NoHooks;

impl Hooks for NoHooks {}
