//! The distribution of a column differs little from an expected one: the Kullback-Leibler divergence, relative entropy
//! of the observed with regard to the expected weights (Kullback and Leibler, "On Information and Sufficiency", 1951).

use std::sync::Arc;

use arrow::datatypes::DataType;
use laguna_base::{Error, Result};
use serde_json::{Value, json};

use super::quantiles::interpolated;
use crate::arguments::Arguments;
use crate::gather::Need;
use crate::gather::bins::Bins;
use crate::gather::counts::Counts;
use crate::kind::{AGGREGATE, COLUMN, CheckKind, Form, MAX, MIN, optional};
use crate::plan::{Known, LateTest, Plan};
use crate::set_query::Answer;
use crate::value::json_of_float;
use crate::verdict::Observation;
use crate::words::word;

pub(super) const KL_DIVERGENCE: CheckKind = CheckKind {
    name: "expect_column_kl_divergence_to_be_less_than",
    short: "kl_divergence",
    aliases: &[],
    arguments: &[
        COLUMN,
        optional(
            "partition_object",
            Form::Object,
            "the expected weights: `weights` with `values`, or with `bins` (one more) and perhaps two `tail_weights`; without it the column is compared with itself",
        )
        .or(&["partition"]),
        optional("threshold", Form::Number, "the largest divergence that passes; without it every one does"),
        optional("internal_weight_holdout", Form::Number, "weight given to bins that are expected to be empty").by_default("0"),
        optional("tail_weight_holdout", Form::Number, "weight given to what lies outside of the bins, or to values that are not expected").by_default("0"),
        optional("bucketize_data", Form::Flag, "whether numbers are put into bins; without a partition, false counts each value").by_default("true"),
        MIN,
        MAX,
    ],
    doc: "The Kullback-Leibler divergence of the column from an expected distribution is at most a threshold.",
    example: r#"{"kl_divergence": {"column": "status", "partition_object": {"values": ["open", "closed"], "weights": [0.3, 0.7]}, "threshold": 0.1}}"#,
    validate: |arguments| Partition::read(arguments).map(drop),
    plan: |arguments, binding| {
        let column = binding.column(arguments.required("column")?)?;
        let partition = Partition::read(arguments)?;
        let data_type = column.plain_type();
        match &partition {
            Partition::Values { .. } | Partition::OwnValues if !Counts::can(data_type) => {
                return Err(Error::project(format!("`{}` is {}, which cannot be counted", column.name, word(data_type))));
            }
            Partition::Bins { .. } | Partition::OwnBins
                if !data_type.is_numeric() && !matches!(data_type, DataType::Boolean | DataType::Null) =>
            {
                return Err(Error::project(format!("`{}` is {}, not a number", column.name, word(data_type)))
                    .hint("give `values` with their weights instead of `bins`"));
            }
            _ => {}
        }
        Ok(Plan::Late(Arc::new(Divergence {
            column: column.index,
            partition,
            threshold: arguments.number("threshold"),
            tail: arguments.number("tail_weight_holdout").unwrap_or_default(),
            internal: arguments.number("internal_weight_holdout").unwrap_or_default(),
        })))
    },
    ..AGGREGATE
};

/// What is expected.
#[derive(Debug, Clone)]
enum Partition {
    Values {
        values: Vec<Value>,
        weights: Vec<f64>,
    },
    Bins {
        edges: Vec<f64>,
        weights: Vec<f64>,
        tails: Option<[f64; 2]>,
    },
    /// The column's own values.
    OwnValues,
    /// The column's own histogram.
    OwnBins,
}

fn wrong(why: &str) -> Error {
    Error::project(format!("`partition_object` of `kl_divergence` {why}")).hint(
        "as in {\"values\": [\"a\", \"b\"], \"weights\": [0.3, 0.7]} or {\"bins\": [0, 1, 2], \"weights\": [0.5, 0.5]}",
    )
}

/// Whether weights add up to one, as near as numpy's `allclose` asks.
fn is_one(sum: f64) -> bool {
    (sum - 1.0).abs() <= 1e-8 + 1e-5
}

impl Partition {
    /// Reads it, and refuses what can never be compared.
    fn read(arguments: &Arguments) -> Result<Partition> {
        let share = |name: &str| match arguments.number(name) {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::project(format!("`{name}` must lie between 0 and 1")))
            }
            share => Ok(share.unwrap_or_default()),
        };
        let (tail, internal) = (share("tail_weight_holdout")?, share("internal_weight_holdout")?);
        if arguments.number("threshold").is_some_and(|threshold| threshold < 0.0) {
            return Err(Error::project("`threshold` of `kl_divergence` must not be negative"));
        }
        let bucketize = arguments.flag("bucketize_data", true);
        let Some(given) = arguments.value("partition_object") else {
            if !bucketize && internal > 0.0 {
                return Err(Error::project("`internal_weight_holdout` cannot be used for discrete values"));
            }
            if bucketize && tail > 0.0 {
                return Err(Error::project("`tail_weight_holdout` must be 0 when there are tail weights"));
            }
            return Ok(if bucketize { Partition::OwnBins } else { Partition::OwnValues });
        };
        let numbers = |name: &str| -> Result<Option<Vec<f64>>> {
            let Some(list) = given.get(name) else { return Ok(None) };
            let list = list.as_array().ok_or_else(|| wrong(&format!("needs a list as `{name}`")))?;
            let number = |value: &Value| match value {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_f64(),
            };
            let found = list.iter().map(number).collect::<Option<Vec<f64>>>();
            found.map(Some).ok_or_else(|| wrong(&format!("holds something else than numbers in `{name}`")))
        };
        let Some(weights) = numbers("weights")? else { return Err(wrong("lacks `weights`")) };
        let sum: f64 = weights.iter().sum();
        if let Some(values) = given.get("values").and_then(Value::as_array) {
            if values.len() == weights.len() && is_one(sum) {
                if internal > 0.0 {
                    return Err(Error::project(
                        "`internal_weight_holdout` cannot be used for discrete values",
                    ));
                }
                return Ok(Partition::Values { values: values.clone(), weights });
            }
            return Err(wrong("needs a weight for each value, and weights that add up to 1"));
        }
        let Some(edges) = numbers("bins")? else { return Err(wrong("lacks `values` or `bins`")) };
        let tails = match numbers("tail_weights")? {
            None => None,
            Some(tails) => Some(<[f64; 2]>::try_from(tails).map_err(|_| wrong("needs two `tail_weights`"))?),
        };
        let all = sum + tails.map_or(0.0, |tails| tails[0] + tails[1]);
        if edges.len() != weights.len() + 1 || edges.len() < 2 {
            return Err(wrong("needs one more edge in `bins` than weights"));
        }
        if edges.windows(2).any(|pair| pair[1] <= pair[0] || pair[0].is_nan() || pair[1].is_nan()) {
            return Err(wrong("needs `bins` that rise"));
        }
        if !is_one(all) {
            return Err(wrong("needs weights that add up to 1"));
        }
        if tails.is_some() && tail != 0.0 {
            return Err(Error::project("`tail_weight_holdout` must be 0 when there are tail weights"));
        }
        if !bucketize {
            return Err(Error::project("`bins` cannot be compared when `bucketize_data` is false"));
        }
        let (low, high) = (edges[0] == f64::NEG_INFINITY, edges[edges.len() - 1] == f64::INFINITY);
        if (low || high) && tails.is_some() {
            return Err(wrong("cannot have tail weights beside an infinite bin"));
        }
        if low && high && tail > 0.0 {
            return Err(Error::project("`tail_weight_holdout` cannot be used with two infinite bins"));
        }
        Ok(Partition::Bins { edges, weights, tails })
    }
}

struct Divergence {
    column: usize,
    partition: Partition,
    threshold: Option<f64>,
    tail: f64,
    internal: f64,
}

impl LateTest for Divergence {
    fn needs(&self) -> Vec<Need> {
        let own = match &self.partition {
            Partition::Values { .. } | Partition::OwnValues => Need::Counts(self.column),
            Partition::OwnBins => Need::Series(self.column, false),
            Partition::Bins { edges, .. } => {
                Need::Bins(self.column, edges.iter().map(|edge| edge.to_bits()).collect())
            }
        };
        vec![own, Need::Moments(self.column)]
    }

    fn judge(&self, known: &Known<'_>, _: &Answer) -> Result<Observation> {
        let present = known.moments().map_or(0, |moments| moments.present) as f64;
        let too_many = || {
            Err(Error::failed(format!(
                "{} has too many different values to be compared one by one",
                known.name(self.column)
            ))
            .hint("give `bins` for numbers, or fewer values"))
        };
        let (divergence, details) = match &self.partition {
            Partition::Bins { edges, weights, tails } => match known.bins() {
                Some(bins) => self.continuous(bins, edges, weights, *tails, present),
                None => return Err(Error::internal("a divergence without its histogram")),
            },
            Partition::OwnBins => {
                let Some(series) = known.series().filter(|series| !series.overflowed()) else {
                    // Compared with itself: there is no divergence, and no need for the histogram.
                    return Ok(self.conclude(0.0, Value::Null, known));
                };
                let edges = automatic(series.len(), |places| series.at_ranks(places));
                let mut bins = Bins::new(&edges.iter().map(|edge| edge.to_bits()).collect::<Vec<_>>());
                (0..series.len()).for_each(|at| bins.add(series.float(at)));
                let weights: Vec<f64> = bins.counts.iter().map(|count| *count as f64 / present).collect();
                let rest = (1.0 - weights.iter().sum::<f64>()) / 2.0;
                self.continuous(&bins, &edges, &weights, Some([rest, rest]), present)
            }
            Partition::Values { values, weights } => match known.counts() {
                Some(counts) if !counts.overflowed() => self.discrete(counts, values, weights, present),
                _ => return too_many(),
            },
            Partition::OwnValues => match known.counts() {
                Some(counts) if !counts.overflowed() => {
                    let (values, counted): (Vec<Value>, Vec<u64>) = counts.sorted().into_iter().unzip();
                    let weights: Vec<f64> = counted.iter().map(|count| *count as f64 / present).collect();
                    self.discrete(counts, &values, &weights, present)
                }
                _ => return too_many(),
            },
        };
        Ok(self.conclude(divergence, details, known))
    }
}

impl Divergence {
    fn conclude(&self, divergence: f64, details: Value, known: &Known<'_>) -> Observation {
        let finite = divergence.is_finite();
        let name = known.name(self.column);
        Observation {
            observed: if finite { Value::from(divergence) } else { Value::Null },
            success: self.threshold.is_none_or(|threshold| divergence <= threshold),
            message: match finite {
                true => format!("the divergence of {name} from what is expected is {divergence}"),
                false => format!("{name} holds what is not expected at all, or nothing"),
            },
            details,
            ..Observation::default()
        }
    }

    fn discrete(&self, counts: &Counts, values: &[Value], weights: &[f64], present: f64) -> (f64, Value) {
        let mut index = values.to_vec();
        let mut observed: Vec<f64> =
            values.iter().map(|value| counts.count_of_read(value).unwrap_or(0) as f64 / present).collect();
        let mut expected = weights.to_vec();
        let keys: std::collections::HashSet<String> =
            values.iter().filter_map(|value| counts.key_of(value)).collect();
        let known_keys = counts.sorted_keys();
        let extra: Vec<(Value, u64)> = known_keys
            .into_iter()
            .zip(counts.sorted())
            .filter(|((key, _), _)| !keys.contains(key))
            .map(|(_, (value, count))| (value, count))
            .collect();
        if !extra.is_empty() {
            expected.iter_mut().for_each(|weight| *weight *= 1.0 - self.tail);
            let share = self.tail / extra.len() as f64;
            for (value, count) in extra {
                index.push(value);
                observed.push(count as f64 / present);
                expected.push(share);
            }
        }
        // Of nothing every value has no weight at all.
        observed.iter_mut().filter(|weight| weight.is_nan()).for_each(|weight| *weight = 0.0);
        let details = json!({
            "observed_partition": {"values": index, "weights": list(&observed)},
            "expected_partition": {"values": index, "weights": list(&expected)},
        });
        (entropy(&observed, &expected), details)
    }

    fn continuous(
        &self,
        bins: &Bins,
        edges: &[f64],
        weights: &[f64],
        tails: Option<[f64; 2]>,
        present: f64,
    ) -> (f64, Value) {
        let observed: Vec<f64> = bins.counts.iter().map(|count| *count as f64 / present).collect();
        let (below, above) = (bins.below as f64 / present, bins.above as f64 / present);
        let mut expected: Vec<f64> =
            weights.iter().map(|weight| weight * (1.0 - self.tail - self.internal)).collect();
        if self.internal > 0.0 {
            let empty = expected.iter().filter(|weight| **weight == 0.0).count();
            let share = self.internal / empty as f64;
            expected.iter_mut().filter(|weight| **weight == 0.0).for_each(|weight| *weight = share);
        }
        let low = edges.first() == Some(&f64::NEG_INFINITY);
        let high = edges.last() == Some(&f64::INFINITY);
        let (mut left_observed, mut left_expected) = (observed.as_slice(), expected.as_slice());
        let (mut all_observed, mut all_expected) = (Vec::new(), Vec::new());
        let (mut tail_observed, mut tail_expected) = ([0.0; 2], [0.0; 2]);
        let mut inner = edges;
        if low {
            (tail_observed[0], tail_expected[0]) = (observed[0], expected[0]);
            (left_observed, left_expected, inner) = (&left_observed[1..], &left_expected[1..], &inner[1..]);
        } else {
            let one = match (tails, high) {
                (Some(tails), _) => tails[0],
                (None, true) => self.tail,
                (None, false) => self.tail / 2.0,
            };
            (tail_observed[0], tail_expected[0]) = (below, one);
        }
        if high {
            let last = observed.len() - 1;
            (tail_observed[1], tail_expected[1]) = (observed[last], expected[last]);
            left_observed = &left_observed[..left_observed.len().saturating_sub(1)];
            left_expected = &left_expected[..left_expected.len().saturating_sub(1)];
            inner = &inner[..inner.len() - 1];
        } else {
            let one = match (tails, low) {
                (Some(tails), _) => tails[1],
                (None, true) => self.tail,
                (None, false) => self.tail / 2.0,
            };
            (tail_observed[1], tail_expected[1]) = (above, one);
        }
        all_observed.push(tail_observed[0]);
        all_observed.extend_from_slice(left_observed);
        all_observed.push(tail_observed[1]);
        all_expected.push(tail_expected[0]);
        all_expected.extend_from_slice(left_expected);
        all_expected.push(tail_expected[1]);
        let details = json!({
            "observed_partition": {"bins": list(inner), "weights": list(left_observed), "tail_weights": list(&tail_observed)},
            "expected_partition": {"bins": list(inner), "weights": list(left_expected), "tail_weights": list(&tail_expected)},
        });
        (entropy(&all_observed, &all_expected), details)
    }
}

fn list(numbers: &[f64]) -> Value {
    let shown = |number: &f64| if number.is_nan() { Value::Null } else { json_of_float(*number) };
    Value::from(numbers.iter().map(shown).collect::<Vec<_>>())
}

/// Relative entropy of two lists of weights, each brought to a sum of one; infinite where something is observed that
/// is not expected.
fn entropy(observed: &[f64], expected: &[f64]) -> f64 {
    let (p, q): (f64, f64) = (observed.iter().sum(), expected.iter().sum());
    observed
        .iter()
        .zip(expected)
        .map(|(observed, expected)| {
            let (observed, expected) = (observed / p, expected / q);
            if observed.is_nan() || expected.is_nan() {
                f64::NAN
            } else if observed > 0.0 && expected > 0.0 {
                observed * (observed / expected).ln()
            } else if observed == 0.0 && expected >= 0.0 {
                0.0
            } else {
                f64::INFINITY
            }
        })
        .sum()
}

/// Edges of a histogram as numpy's `auto` chooses them: by Sturges' rule, or by that of Freedman and Diaconis where it
/// gives more bins.
fn automatic(count: usize, at: impl Fn(&[usize]) -> Vec<Option<f64>>) -> Vec<f64> {
    let last = count.saturating_sub(1);
    let quartile = |share: f64| {
        let place = share * last as f64;
        let found = at(&[place.floor() as usize, place.ceil() as usize]);
        match found.as_slice() {
            [Some(low), Some(high)] => interpolated(*low, *high, place.fract().round_ties_even()),
            _ => f64::NAN,
        }
    };
    let ends = at(&[0, last]);
    let [Some(low), Some(high)] = ends.as_slice() else { return vec![f64::NAN] };
    let spread = quartile(0.75) - quartile(0.25);
    let sturges = (count as f64 + 1.0).log2().ceil();
    let bins = if spread < 1e-10 {
        sturges
    } else {
        let width = 2.0 * spread / (count as f64).powf(1.0 / 3.0);
        sturges.max(((high - low) / width).ceil())
    };
    // An outlier among narrow quartiles asks for more bins than anyone could look at.
    let bins = bins.clamp(1.0, 100_000.0) as usize;
    (0..=bins)
        .map(|bin| if bin == bins { *high } else { low + (high - low) * bin as f64 / bins as f64 })
        .collect()
}
