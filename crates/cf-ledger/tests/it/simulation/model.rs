//! What the ledger should do, in memory: the same rules in their plainest form.

use std::collections::BTreeMap;

use cf_base::{Id, Nanos, Timestamp};
use cf_ledger::{AccountKind, MAIN, Period, WindowSpec};

/// The tenant's time zone, with two changes of the clocks a year.
pub const ZONE: &str = "Europe/Berlin";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub base: Option<i64>,
    pub carried: i64,
    pub extra: i64,
    pub posted: i64,
    pub pending: i64,
    pub period: Period,
    pub carry_over: bool,
    pub resets_at: Option<Timestamp>,
}

impl Window {
    fn new(spec: &WindowSpec, now: Timestamp) -> Self {
        Self {
            base: spec.limit.map(|limit| limit.0),
            carried: 0,
            extra: 0,
            posted: 0,
            pending: 0,
            period: spec.period,
            carry_over: spec.carry_over,
            resets_at: spec.period.first(ZONE, now).map(|span| span.end),
        }
    }

    pub fn limit(&self) -> Option<i64> {
        self.base.map(|base| base + self.carried + self.extra)
    }

    pub fn left(&self) -> i64 {
        self.limit()
            .map_or(i64::MAX, |limit| limit - self.posted - self.pending)
    }
}

pub struct Owner {
    pub kind: AccountKind,
    pub windows: BTreeMap<String, Window>,
}

/// More for a while.
pub struct Extra {
    pub id: Id,
    pub owner: Id,
    pub window: String,
    pub amount: i64,
    pub until: Timestamp,
}

/// Who pays for a call.
#[derive(Clone, Copy)]
pub struct Payers {
    pub user: Id,
    pub key: Id,
    pub tenant: Id,
}

impl Payers {
    fn all(self) -> [Id; 3] {
        [self.key, self.user, self.tenant]
    }
}

#[derive(Default)]
pub struct Model {
    pub owners: BTreeMap<String, Owner>,
    pub extras: Vec<Extra>,
}

impl Model {
    pub fn open(&mut self, owner: Id, kind: AccountKind, main: &WindowSpec, now: Timestamp) {
        let windows = BTreeMap::from([(MAIN.to_owned(), Window::new(main, now))]);
        self.owners
            .insert(owner.to_string(), Owner { kind, windows });
    }

    fn windows(&mut self, payers: Payers) -> impl Iterator<Item = &mut Window> {
        let ids = payers.all().map(|id| id.to_string());
        self.owners
            .iter_mut()
            .filter(move |(id, _)| ids.contains(id))
            .flat_map(|(_, owner)| owner.windows.values_mut())
    }

    pub fn window(&mut self, owner: Id, name: &str) -> &mut Window {
        let owner = self.owners.get_mut(owner.as_str()).unwrap();
        owner.windows.get_mut(name).unwrap()
    }

    /// What is granted of `worst`; nothing where less than `least` would be.
    pub fn reserve(&mut self, payers: Payers, worst: i64, least: i64) -> Option<i64> {
        let left = self.windows(payers).map(|w| w.left()).min().unwrap();
        let granted = worst.min(left.max(0));
        if granted < worst && (granted < least || granted <= 0) {
            return None;
        }
        for window in self.windows(payers) {
            window.pending += granted;
            assert!(window.left() >= 0, "above the limit: {window:?}");
        }
        Some(granted)
    }

    pub fn settle(&mut self, payers: Payers, reserved: i64, cost: i64) {
        for window in self.windows(payers) {
            window.pending -= reserved;
            window.posted += cost;
        }
    }

    pub fn left(&mut self, owner: Id) -> i64 {
        let windows = &self.owners[owner.as_str()].windows;
        windows.values().map(Window::left).min().unwrap()
    }

    /// The job: first increases end, then periods.
    pub fn run_job(&mut self, now: Timestamp) {
        for extra in std::mem::take(&mut self.extras) {
            if extra.until <= now {
                self.window(extra.owner, &extra.window).extra -= extra.amount;
            } else {
                self.extras.push(extra);
            }
        }
        for window in self
            .owners
            .values_mut()
            .flat_map(|o| o.windows.values_mut())
        {
            let Some(ended) = window.resets_at.filter(|end| *end <= now) else {
                continue;
            };
            let span = window.period.after(ZONE, ended, now).unwrap();
            assert!(
                span.start <= now && now < span.end && ended <= span.start,
                "{span:?}"
            );
            window.carried = match window.base {
                Some(base) if window.carry_over => {
                    (base + window.carried - window.posted).max(0) + base * span.missed
                }
                _ => 0,
            };
            window.posted = 0;
            window.resets_at = Some(span.end);
        }
    }

    pub fn reset_by_hand(&mut self, owner: Id, now: Timestamp) {
        for window in self
            .owners
            .get_mut(owner.as_str())
            .unwrap()
            .windows
            .values_mut()
        {
            window.posted = 0;
            if let Period::Days(_) = window.period {
                window.resets_at = window.period.first(ZONE, now).map(|span| span.end);
            }
        }
    }

    pub fn set_windows(&mut self, owner: Id, specs: &[WindowSpec], now: Timestamp) {
        let owner_id = owner;
        let owner = self.owners.get_mut(owner.as_str()).unwrap();
        let pending = owner.windows[MAIN].pending;
        owner
            .windows
            .retain(|name, _| specs.iter().any(|s| s.name == *name));
        let kept = &owner.windows;
        self.extras
            .retain(|e| e.owner != owner_id || kept.contains_key(&e.window));
        for spec in specs {
            let Some(window) = owner.windows.get_mut(&spec.name) else {
                let mut new = Window::new(spec, now);
                new.pending = pending;
                owner.windows.insert(spec.name.clone(), new);
                continue;
            };
            window.base = spec.limit.map(|limit| limit.0);
            window.carry_over = spec.carry_over;
            if window.period != spec.period {
                window.period = spec.period;
                window.resets_at = spec.period.first(ZONE, now).map(|span| span.end);
            }
        }
    }

    /// Each window as a line, in the order of the database's answer.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, owner) in &self.owners {
            for (name, w) in &owner.windows {
                let limit = w.limit().map(Nanos);
                let resets = w.resets_at.map(|t| t.to_date_text().to_string());
                lines.push(line(
                    id,
                    name,
                    limit,
                    [w.posted, w.pending, w.carried, w.extra],
                    &resets.unwrap_or_default(),
                ));
            }
        }
        lines
    }
}

/// A window as both sides write it.
pub fn line(
    owner: &str,
    window: &str,
    limit: Option<Nanos>,
    [posted, pending, carried, extra]: [i64; 4],
    resets: &str,
) -> String {
    format!(
        "{owner} {window}: limit {limit:?} posted {posted} pending {pending} carried {carried} \
         extra {extra} resets {resets}"
    )
}
