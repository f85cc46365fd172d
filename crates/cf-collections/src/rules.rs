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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_understood() {
        for collection in Schema::system().iter() {
            let r = &collection.rules;
            for text in [r.list, r.view, r.create, r.update, r.delete]
                .into_iter()
                .flatten()
            {
                assert!(filter::parse(text).is_ok(), "{}: {text}", collection.name);
            }
        }
    }

    #[test]
    fn every_rule_compiles_for_everybody() {
        use crate::principal::{AuthRecord, Principal};
        let schema = Schema::system();
        let rules = RuleBook::new(&schema);
        let user = |role| {
            Principal::User(std::sync::Arc::new(AuthRecord {
                id: "u".to_owned(),
                email: "u@x.example".to_owned(),
                role,
                status: cf_base::UserStatus::Active,
                tenant_id: "t".to_owned(),
                product_id: String::new(),
                collection: "users".to_owned(),
            }))
        };
        for principal in [
            Principal::Guest,
            user(cf_base::Role::User),
            user(cf_base::Role::TenantAdmin),
        ] {
            for collection in schema.iter() {
                let context = Context {
                    schema: &schema,
                    rules: &rules,
                    principal: &principal,
                    now: cf_base::Timestamp::from_millis(0),
                    body: None,
                    trusted: false,
                };
                let zeros: Vec<_> = collection.fields.iter().map(|f| f.kind.zero()).collect();
                for root in [Root::Row("t0"), Root::Values(&zeros)] {
                    for access in [
                        Access::List,
                        Access::View,
                        Access::Create,
                        Access::Update,
                        Access::Delete,
                    ] {
                        let mut statement = Statement::new(false);
                        rules
                            .condition(access, collection, &root, &context, &mut statement)
                            .unwrap_or_else(|e| panic!("{} {access:?}: {e}", collection.name));
                    }
                }
            }
        }
    }
}
