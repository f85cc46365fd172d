//! Latencies in buckets that grow with the value: fixed memory, and never more than 1.6 % off.

use std::time::Duration;

const SUB_BITS: u32 = 6;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;
const BUCKETS: usize = 64 * 64;

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// The latency that `per_mille` thousandths of all requests did not exceed; zero without any request.
    pub fn percentile(&self, per_mille: u64) -> Duration {
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_bound(index));
            }
        }
        Duration::ZERO
    }
}

/// Values below 64 have a bucket each; above, every power of two is cut into 64 equal parts.
fn bucket(nanos: u64) -> usize {
    if nanos < SUB_BUCKETS {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let shift = nanos.ilog2() - SUB_BITS;
    let part = (nanos >> shift) - SUB_BUCKETS;
    let index = u64::from(shift + 1) * SUB_BUCKETS + part;
    usize::try_from(index)
        .unwrap_or(BUCKETS - 1)
        .min(BUCKETS - 1)
}

fn upper_bound(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    if index < SUB_BUCKETS {
        return index;
    }
    let shift = index / SUB_BUCKETS - 1;
    let part = index % SUB_BUCKETS;
    ((SUB_BUCKETS + part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_bound() {
        for nanos in (0..200_000).chain([1 << 33, (1 << 40) + 12_345, u64::MAX / 1024]) {
            let bound = upper_bound(bucket(nanos));
            assert!(bound >= nanos, "{nanos} is above {bound}");
            assert!(
                (bound - nanos) * 64 <= nanos.max(64),
                "{nanos} is far from {bound}"
            );
        }
    }

    #[test]
    fn percentiles_are_read_from_merged_histograms() {
        let (mut fast, mut slow) = (Histogram::default(), Histogram::default());
        for _ in 0..99 {
            fast.record(Duration::from_micros(10));
        }
        slow.record(Duration::from_millis(10));
        fast.merge(&slow);
        assert_eq!(fast.count(), 100);
        assert!(fast.percentile(500) < Duration::from_micros(11));
        assert!(fast.percentile(1000) >= Duration::from_millis(10));
        assert_eq!(Histogram::default().percentile(990), Duration::ZERO);
    }
}
