//! Wakes many streams at their times, finer than a runtime's timers, which tick every millisecond.

// A program for measurements: it looks at the clock, and its tasks end with it.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

const TICK: Duration = Duration::from_micros(250);
/// How far ahead a waker can be put: 64 ms.
const SLOTS: usize = 256;
/// How often it looks for work while there is none.
const IDLE: Duration = Duration::from_millis(20);

/// A wheel of wakers; cheap to clone.
#[derive(Clone)]
pub struct Pacer(Arc<Inner>);

struct Inner {
    began: Instant,
    wheel: Mutex<Wheel>,
    waiting: AtomicUsize,
    ticked: Notify,
}

struct Wheel {
    slots: Vec<Vec<Waker>>,
    /// The next tick whose wakers are to be woken.
    next: u64,
}

impl Pacer {
    /// Starts ticking; a thread of its own sleeps, and a task of the calling runtime wakes, so that
    /// streams of a runtime with one thread are woken without a system call for each.
    pub fn start() -> std::io::Result<Self> {
        let pacer = Self(Arc::new(Inner {
            began: Instant::now(),
            wheel: Mutex::new(Wheel {
                slots: vec![Vec::new(); SLOTS],
                next: 0,
            }),
            waiting: AtomicUsize::new(0),
            ticked: Notify::new(),
        }));
        let inner = Arc::clone(&pacer.0);
        std::thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || {
                loop {
                    let busy = inner.waiting.load(Ordering::Relaxed) > 0;
                    std::thread::sleep(if busy { TICK } else { IDLE });
                    inner.ticked.notify_one();
                }
            })?;
        let inner = Arc::clone(&pacer.0);
        tokio::spawn(async move {
            loop {
                inner.ticked.notified().await;
                inner.wake_due();
            }
        });
        Ok(pacer)
    }

    /// Wakes at this time, or within a tick after it; at most 64 ms ahead.
    pub fn wake_at(&self, due: Instant, waker: &Waker) {
        let ahead = due.saturating_duration_since(self.0.began);
        let tick = ticks(ahead) + 1;
        let mut wheel = self.0.wheel.lock();
        let last = wheel.next + SLOTS as u64 - 1;
        let slot = slot(tick.clamp(wheel.next, last));
        wheel.slots[slot].push(waker.clone());
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
    }
}

impl Inner {
    fn wake_due(&self) {
        let now = ticks(self.began.elapsed());
        loop {
            let due = {
                let mut wheel = self.wheel.lock();
                if wheel.next > now {
                    return;
                }
                let slot = slot(wheel.next);
                wheel.next += 1;
                std::mem::take(&mut wheel.slots[slot])
            };
            self.waiting.fetch_sub(due.len(), Ordering::Relaxed);
            due.into_iter().for_each(Waker::wake);
        }
    }
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX / 2)
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn each_is_woken_at_its_time_and_not_before() {
        let pacer = Pacer::start().expect("a thread");
        let began = Instant::now();
        let mut waits = tokio::task::JoinSet::new();
        for wait in [3, 1, 40, 20] {
            let (pacer, due) = (pacer.clone(), began + Duration::from_millis(wait));
            waits.spawn(poll_fn(move |context| {
                if Instant::now() >= due {
                    return Poll::Ready(wait);
                }
                pacer.wake_at(due, context.waker());
                Poll::Pending
            }));
        }
        let mut order = Vec::new();
        while let Some(wait) = waits.join_next().await {
            order.push(wait.expect("a wait"));
        }
        assert_eq!(order, [1, 3, 20, 40]);
        assert!(began.elapsed() >= Duration::from_millis(40));
    }
}
