//! Values that rise or fall: each against the one before it, over batches and streams.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;
use serde_json::Value;

use crate::collector::State;
use crate::gather::counts::{Wholes, wholes};
use crate::kept::codec::{Reader, Writer};
use crate::plan::OrderPlan;
use crate::suite::Keep;
use crate::value;
use crate::view::{View, failed};

/// The ends of what a check has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    first: Option<Number>,
    last: Option<Number>,
    /// The first value and its row, to be shown if it turns out to be out of order.
    shown: Value,
    row: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl OrderPlan {
    fn follows(&self, before: Number, after: Number) -> bool {
        let order = match (before, after) {
            (Number::Whole(before), Number::Whole(after)) => before.cmp(&after),
            // Two infinities of one sign differ by nothing that could be compared, which passes.
            (Number::Float(before), Number::Float(after)) if before.is_infinite() && before == after => {
                return true;
            }
            (Number::Float(before), Number::Float(after)) => {
                before.partial_cmp(&after).unwrap_or(std::cmp::Ordering::Equal)
            }
            _ => return true,
        };
        let order = if self.descending { order.reverse() } else { order };
        order.is_lt() || (order.is_eq() && !self.strictly)
    }
}

impl Order {
    pub fn update(state: &mut State, plan: &OrderPlan, view: &View<'_>, keep: Keep) -> Result<()> {
        let values = view.dated(plan.column)?;
        state.missing += values.logical_null_count() as u64;
        match values.data_type() {
            DataType::Null => Ok(()),
            t if t.is_floating() => {
                let floats = cast(values, &DataType::Float64).map_err(failed)?;
                let floats = floats.as_primitive::<Float64Type>();
                let numbers = floats.iter().map(|value| value.map(Number::Float));
                Order::feed(state, plan, view, keep, numbers)
            }
            _ => match wholes(values)? {
                Wholes::Narrow(narrow) => {
                    let numbers = narrow.iter().map(|value| value.map(|v| Number::Whole(i128::from(v))));
                    Order::feed(state, plan, view, keep, numbers)
                }
                Wholes::Wide(wide) => {
                    let numbers = wide.iter().map(|value| value.map(Number::Whole));
                    Order::feed(state, plan, view, keep, numbers)
                }
            },
        }
    }

    fn feed(
        state: &mut State,
        plan: &OrderPlan,
        view: &View<'_>,
        keep: Keep,
        numbers: impl Iterator<Item = Option<Number>>,
    ) -> Result<()> {
        for (at, number) in numbers.enumerate() {
            let Some(number) = number else { continue };
            match state.order.last.replace(number) {
                None => {
                    state.order.first = Some(number);
                    state.order.shown = value::json(view.values(plan.column)?, at);
                    state.order.row = view.number(at);
                }
                Some(before) if !plan.follows(before, number) => {
                    state.unexpected += 1;
                    if state.examples.len() < keep.examples {
                        state.examples.push(value::json(view.values(plan.column)?, at));
                        if keep.row_numbers {
                            state.numbers.push(view.number(at));
                        }
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub fn write(&self, into: &mut Writer) {
        for end in [self.first, self.last] {
            match end {
                None => into.count(0),
                Some(Number::Whole(whole)) => {
                    into.count(1);
                    into.wide(whole);
                }
                Some(Number::Float(float)) => {
                    into.count(2);
                    into.float(float);
                }
            }
        }
        into.value(&self.shown);
    }

    pub fn read(from: &mut Reader<'_>) -> Option<Order> {
        let mut end = || {
            Some(match from.count()? {
                0 => None,
                1 => Some(Number::Whole(from.wide()?)),
                2 => Some(Number::Float(from.float()?)),
                _ => return None,
            })
        };
        Some(Order { first: end()?, last: end()?, shown: from.value()?, row: 0 })
    }

    /// Joins what follows: its first value against the last one here.
    pub fn merge(into: &mut State, from: &State, plan: &OrderPlan, keep: Keep) {
        let Some(first) = from.order.first else { return };
        if let Some(last) = into.order.last
            && !plan.follows(last, first)
        {
            into.unexpected += 1;
            if into.examples.len() < keep.examples {
                into.examples.push(from.order.shown.clone());
                if keep.row_numbers {
                    into.numbers.push(from.order.row);
                }
            }
        }
        if into.order.first.is_none() {
            into.order = from.order.clone();
        } else {
            into.order.last = from.order.last;
        }
    }
}
