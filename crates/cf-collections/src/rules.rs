//! Access rules, read once and compiled for each caller.

use std::collections::HashMap;

use crate::filter::{self, Cond, Context, Expr, FilterError, Root, Statement};
use crate::schema::Collection;
use crate::system::Schema;

/// What a rule guards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    List,
    View,
    Create,
    Update,
    Delete,
}

enum Rule {
    Superusers,
    Everybody,
    Where(Expr),
}

/// The rules of all collections.
pub(crate) struct RuleBook(HashMap<&'static str, [Rule; 5]>);

impl RuleBook {
    pub fn new(schema: &Schema) -> Self {
        Self(
            schema
                .iter()
                .map(|c| {
                    let r = &c.rules;
                    (
                        c.name,
                        [r.list, r.view, r.create, r.update, r.delete].map(read),
                    )
                })
                .collect(),
        )
    }

    /// The condition under which the context's principal may do this to a
    /// record; `None` if only superusers may.
    pub fn condition(
        &self,
        access: Access,
        collection: &Collection,
        root: &Root<'_>,
        context: &Context<'_>,
        statement: &mut Statement,
    ) -> Result<Option<Cond>, FilterError> {
        if context.principal.bypasses(collection) {
            return Ok(Some(Cond::True));
        }
        let Some(rules) = self.0.get(collection.name) else {
            return Ok(None);
        };
        let rule = &rules[match access {
            Access::List => 0,
            Access::View => 1,
            Access::Create => 2,
            Access::Update => 3,
            Access::Delete => 4,
        }];
        match rule {
            Rule::Superusers => Ok(None),
            Rule::Everybody => Ok(Some(Cond::True)),
            Rule::Where(expr) => {
                let trusted = Context {
                    trusted: true,
                    ..*context
                };
                filter::condition(expr, collection, root, &trusted, statement).map(Some)
            }
        }
    }

    /// The condition under which a record may be seen in lists and by filters.
    pub fn listable(
        &self,
        collection: &Collection,
        root: &Root<'_>,
        context: &Context<'_>,
        statement: &mut Statement,
    ) -> Result<Option<Cond>, FilterError> {
        self.condition(Access::List, collection, root, context, statement)
    }
}

fn read(text: Option<&'static str>) -> Rule {
    match text {
        None => Rule::Superusers,
        Some(text) => match filter::parse(text) {
            Ok(None) => Rule::Everybody,
            Ok(Some(expr)) => Rule::Where(expr),
            // Ours to get right, and a test compiles each; a broken rule shuts.
            Err(_) => Rule::Superusers,
        },
    }
}
