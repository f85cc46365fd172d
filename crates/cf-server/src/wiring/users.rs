//! What saving a user means: the budget and the first key of a new one, and what
//! follows a user to another tenant or product.

use cf_base::{Id, Limits, Secret, TenantId, Timestamp, UserId};
use cf_collections::{Record, RecordError, Result, Write};
use cf_db::Tx;
use cf_identity::{Issued, NewKey, move_to_tenant};
use cf_ledger::{AccountKind, NewAccount, set_reset_date, set_time_zone};

use super::{Wiring, id};
use crate::plans::Plan;
use crate::provision::issue_key;

/// A user's budgets and those of the keys.
const USERS_OWNERS: &str = "select id from users where id = $1 \
    union select id from api_keys where user_id = $1";

impl Wiring {
    /// The budget of a new user: as sent, else the product's.
    pub(super) async fn open_users_budget(
        &self,
        tx: &mut Tx,
        write: &Write,
        actor: &str,
    ) -> Result<()> {
        let plan = Plan::of(
            tx,
            write.text("product_id").unwrap_or_default(),
            write.text("tenant_id").unwrap_or_default(),
        )
        .await?;
        let limit = write.input_nanos("budget_total").unwrap_or(plan.budget);
        let used = write.input_nanos("budget_used").unwrap_or_default();
        if let Some(remaining) = write.input_nanos("budget_remaining")
            && remaining != limit - used
        {
            return Err(RecordError::field(
                "budget_remaining",
                "validation_values_mismatch",
                "budget_remaining is budget_total less budget_used; leave it out.",
            ));
        }
        let owner = id(write.id())?;
        let account = NewAccount {
            owner,
            kind: AccountKind::User,
            currency: plan.currency,
            limit: Some(limit),
            used,
            period: plan.period,
            carry_over: plan.carry_over,
            time_zone: plan.time_zone.clone(),
            resets_at: write
                .input_text("budget_reset_date")
                .and_then(Timestamp::parse),
        };
        self.open(tx, &account, actor).await?;
        if plan.more.is_empty() {
            return Ok(());
        }
        plan.give(tx, owner, limit, &self.by("budgets of the product", actor))
            .await
    }

    /// The key that comes with a new user: as sent (`litellm_api_key`), else
    /// made; told in full in this one answer.
    pub(super) async fn issue_first_key(
        &self,
        tx: &mut Tx,
        write: &mut Write,
        actor: &str,
    ) -> Result<()> {
        let given = write
            .input_text("litellm_api_key")
            .filter(|key| !key.is_empty())
            .map(Secret::new);
        let tenant = write.text("tenant_id").unwrap_or_default().to_owned();
        let owner = id(write.id())?;
        let issued = self
            .issue_default_key(tx, owner, &tenant, given, actor)
            .await?;
        write.answer("litellm_api_key", issued.key.expose());
        Ok(())
    }

    /// Makes a user's key `default`, and shows it in the user's record.
    async fn issue_default_key(
        &self,
        tx: &mut Tx,
        user: Id,
        tenant: &str,
        key: Option<Secret>,
        actor: &str,
    ) -> Result<Issued> {
        let key = NewKey {
            user_id: UserId(user),
            tenant_id: TenantId::parse(tenant).ok(),
            name: "default".into(),
            models: Vec::new(),
            limits: Limits::default(),
            expires: None,
            key,
        };
        let (clock, random) = (&self.clock, &self.random);
        let issued = issue_key(tx, clock, random, &self.identity, key, None, actor)
            .await
            .map_err(|error| key_error(&error))?;
        tx.execute(
            "update users set litellm_api_key = $1 where id = $2",
            vec![(&issued.masked).into(), user.into()],
        )
        .await?;
        Ok(issued)
    }

    /// A user has become another: tenant, product, limit, key.
    pub(super) async fn update_user(
        &self,
        tx: &mut Tx,
        old: &Record,
        write: &mut Write,
        actor: &str,
    ) -> Result<()> {
        let owner = id(old.id())?;
        let product = write
            .text("product_id")
            .filter(|p| *p != old.text("product_id"))
            .map(str::to_owned);
        let tenant = write
            .text("tenant_id")
            .filter(|t| *t != old.text("tenant_id"))
            .map(str::to_owned);
        if let Some(tenant) = &tenant {
            move_to_tenant(tx, UserId(owner), TenantId::parse(tenant).ok()).await?;
        }
        // Product and tenant say in which currency the budget is.
        if product.is_some() || tenant.is_some() {
            let tenant = tenant.as_deref().unwrap_or(old.text("tenant_id"));
            let new_product = product.as_deref().unwrap_or(old.text("product_id"));
            let plan = Plan::of(tx, new_product, tenant).await?;
            move_budget(tx, old.id(), &plan).await?;
            set_time_zone(tx, USERS_OWNERS, owner, &plan.time_zone, self.clock.now()).await?;
            // A newly assigned product brings its budgets, unless another limit is sent
            // with it.
            if product.is_some_and(|p| !p.is_empty()) {
                let limit = write.input_nanos("budget_total").unwrap_or(plan.budget);
                let by = self.by("budgets of the product", actor);
                plan.give(tx, owner, limit, &by).await?;
                if old.text("budget_reset_date").is_empty()
                    && let Some(next) = plan.next_reset(self.clock.now())
                {
                    set_reset_date(tx, owner, &next.to_date_text().to_string()).await?;
                }
            }
        }
        if let Some(limit) = write.input_nanos("budget_total") {
            self.set_limit(tx, old.id(), Some(limit), actor).await?;
        }
        if let Some(date) = write.input_text("budget_reset_date") {
            set_reset_date(tx, owner, date).await?;
        }
        if let Some(key) = write
            .input_text("litellm_api_key")
            .filter(|key| !key.is_empty() && *key != old.text("litellm_api_key"))
        {
            let tenant = tenant.as_deref().unwrap_or(old.text("tenant_id"));
            let key = Secret::new(key);
            self.issue_default_key(tx, owner, tenant, Some(key), actor)
                .await?;
        }
        Ok(())
    }
}

/// Takes a user's budget, and those of the user's keys, over to a plan. What was
/// spent in another currency stays in it until the budget is reset.
async fn move_budget(tx: &mut Tx, user: &str, plan: &Plan) -> Result<()> {
    const OWNERS: &str =
        "(owner_id = $2 or owner_id in (select id from api_keys where user_id = $2))";
    let spent = tx
        .query_opt(
            &format!(
                "select 1 from ledger_accounts where {OWNERS} and currency <> $1 \
                 and (posted_nanos <> 0 or pending_nanos <> 0) limit 1"
            ),
            vec![plan.currency.as_str().into(), user.into()],
        )
        .await?;
    if spent.is_some() {
        return Err(RecordError::field(
            "product_id",
            "validation_invalid_value",
            "This product or tenant has another currency than what was spent in this period; reset the \
             user's budget first, and revoke keys that were used.",
        ));
    }
    tx.execute(
        &format!("update ledger_accounts set currency = $1 where {OWNERS}"),
        vec![plan.currency.as_str().into(), user.into()],
    )
    .await?;
    Ok(())
}

fn key_error(error: &cf_base::Error) -> RecordError {
    RecordError::field(
        "litellm_api_key",
        if error.kind == cf_base::Kind::Conflict {
            "validation_not_unique"
        } else {
            "validation_invalid_value"
        },
        error.message.clone(),
    )
}
