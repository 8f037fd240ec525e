//! Counts and percentiles, and when there are too few samples for one.
//!
//! A percentile is the nearest-rank one: the smallest sample that at least that share of the samples
//! does not exceed, so it is always a value that really occurred. It takes as many samples as the
//! rarest share it names: 2 for p50, 10 for p90, 100 for p99; with fewer it is not given at all.

/// One measured duration, and where to find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The duration in nanoseconds.
    pub value_ns: u64,
    /// When it ended, in causal time.
    pub time_ns: u64,
    /// The event that ended it.
    pub seq: u64,
}

/// What a summary line says about a set of samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Number of samples.
    pub count: u64,
    /// Half of the samples are not larger; from 2 samples on.
    pub p50_ns: Option<u64>,
    /// Nine in ten are not larger; from 10 samples on.
    pub p90_ns: Option<u64>,
    /// 99 in 100 are not larger; from 100 samples on.
    pub p99_ns: Option<u64>,
    /// The largest; the first of them if several are equal.
    pub max: Option<Sample>,
}

/// Sentence for reports that show a [`Summary`].
pub const TOO_FEW: &str = "- : too few samples for that percentile (p50 takes 2, p90 10, p99 100); percentiles are nearest-rank";

/// Summarises `samples`.
pub fn summarize(samples: impl IntoIterator<Item = Sample>) -> Summary {
    let mut max: Option<Sample> = None;
    let mut values: Vec<u64> = samples
        .into_iter()
        .map(|sample| {
            if max.is_none_or(|max| sample.value_ns > max.value_ns) {
                max = Some(sample);
            }
            sample.value_ns
        })
        .collect();
    values.sort_unstable();
    Summary {
        count: values.len() as u64,
        p50_ns: percentile(&values, 50),
        p90_ns: percentile(&values, 90),
        p99_ns: percentile(&values, 99),
        max,
    }
}

/// The nearest-rank percentile of sorted values, `None` if there are too few.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let enough = sorted.len() * (100 - percent) >= 100;
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    enough.then(|| sorted[rank - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u64>) -> Vec<Sample> {
        let sample = |(seq, value_ns): (usize, u64)| Sample {
            value_ns,
            time_ns: 10 * seq as u64,
            seq: seq as u64,
        };
        values.into_iter().enumerate().map(sample).collect()
    }

    #[test]
    fn nearest_rank() {
        let summary = summarize(samples((1..=100).rev()));
        assert_eq!(summary.p50_ns, Some(50));
        assert_eq!(summary.p90_ns, Some(90));
        assert_eq!(summary.p99_ns, Some(99));
        assert_eq!(
            summary.max.map(|max| (max.value_ns, max.seq)),
            Some((100, 0))
        );
    }

    #[test]
    fn too_few_samples_give_no_percentile() {
        assert_eq!(summarize([]), Summary::default());
        let one = summarize(samples([7]));
        assert_eq!((one.count, one.p50_ns), (1, None));
        assert_eq!(one.max.map(|max| max.value_ns), Some(7));
        let nine = summarize(samples(0..9));
        assert_eq!((nine.p50_ns, nine.p90_ns), (Some(4), None));
        let ten = summarize(samples(0..10));
        assert_eq!((ten.p90_ns, ten.p99_ns), (Some(8), None));
        assert_eq!(summarize(samples(0..99)).p99_ns, None);
    }

    #[test]
    fn the_first_of_equal_maxima_is_named() {
        let summary = summarize(samples([3, 9, 9]));
        assert_eq!(summary.max.map(|max| max.seq), Some(1));
    }
}
