//! Days and clocks beside instants: they are instants of the session's zone. The engine, when it brings them together,
//! takes the midnight of UTC, or forgets that there is a zone.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, InSubquery, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast};
use datafusion::optimizer::AnalyzerRule;

/// Makes days that become instants of a zone the midnights of that zone.
#[derive(Debug)]
pub(crate) struct DaysBegin;

impl AnalyzerRule for DaysBegin {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = plan.transform_up_with_subqueries(|node| {
            let schema = schema_of(&node)?;
            node.map_expressions(|expr| expr.transform_up(|part| Ok(local(part, &schema))))
        });
        Ok(changed?.data)
    }

    fn name(&self) -> &str {
        "days_begin_in_the_zone"
    }
}

/// A day that is cast to an instant, by way of the clock that the zone shows.
fn local(part: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let (day, field) = match &part {
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => (expr, field),
        _ => return Transformed::no(part),
    };
    let (DataType::Timestamp(unit, Some(_)), Ok(DataType::Date32)) =
        (field.data_type(), day.get_type(schema))
    else {
        return Transformed::no(part);
    };
    let clock = Expr::Cast(Cast::new(day.clone(), DataType::Timestamp(*unit, None)));
    Transformed::yes(Expr::Cast(Cast::new_from_field(Box::new(clock), field.clone())))
}

/// What the expressions of a node may name.
fn schema_of(node: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(scan) = node {
        let own = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&own);
    }
    Ok(schema)
}

/// Makes days and clocks instants where one of several values is one and they come together: in a CASE, a list, a union;
/// and exact numbers binary ones, which the engine would make decimals that have no room for them. Goes before the engine
/// brings types together.
#[derive(Debug)]
pub(crate) struct InstantsWin;

/// Functions whose arguments are of one type.
const ALIKE: [&str; 6] = ["coalesce", "greatest", "least", "make_array", "nullif", "nvl"];

impl AnalyzerRule for InstantsWin {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        // What is above something that changed sees other types.
        let any = Cell::new(false);
        let changed = plan.transform_up_with_subqueries(|node| {
            let node = if any.get() { node.recompute_schema()? } else { node };
            let schema = schema_of(&node)?;
            let changed = match node {
                LogicalPlan::Union(_) => in_union(node)?,
                LogicalPlan::Join(_) => in_join(node)?,
                node => node.map_expressions(|expr| expr.transform_up(|part| among(part, &schema)))?,
            };
            if !changed.transformed {
                return Ok(changed);
            }
            any.set(true);
            changed.data.recompute_schema().map(Transformed::yes)
        });
        Ok(changed?.data)
    }

    fn name(&self) -> &str {
        "instants_win"
    }
}

/// The type that some of these become: that of instants, where some are and others are days or clocks; that of binary
/// numbers, where some are and others exact ones.
fn common(types: &[DataType]) -> Option<DataType> {
    let zone = types.iter().find_map(|data_type| match data_type {
        DataType::Timestamp(_, Some(zone)) => Some(zone.clone()),
        _ => None,
    });
    if let Some(zone) = zone {
        let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some(zone));
        return types.iter().any(is_local).then_some(wanted);
    }
    let binary = types.contains(&DataType::Float64) && types.iter().any(DataType::is_decimal);
    binary.then_some(DataType::Float64)
}

fn is_local(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None))
}

/// Whether a value of one type becomes one of the other.
fn becomes(of: &DataType, wanted: &DataType) -> bool {
    match wanted {
        DataType::Float64 => of.is_decimal(),
        _ => is_local(of),
    }
}

/// A value as one of the type that its neighbours have.
fn as_common(expr: Expr, of: &DataType, wanted: &DataType) -> Expr {
    match (of, becomes(of, wanted)) {
        (DataType::Date32, true) => {
            cast(cast(expr, DataType::Timestamp(TimeUnit::Microsecond, None)), wanted.clone())
        }
        (_, true) => cast(expr, wanted.clone()),
        (_, false) => expr,
    }
}

/// Brings values together; whether one of them changed.
fn together<'a>(values: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let values: Vec<&mut Expr> = values.into_iter().collect();
    let types: Vec<DataType> = values
        .iter()
        .map(|expr| match expr {
            // What is written with a point is exact beside what is exact.
            Expr::Literal(ScalarValue::Float64(_), _) => DataType::Null,
            expr => expr.get_type(schema).unwrap_or(DataType::Null),
        })
        .collect();
    let Some(wanted) = common(&types) else { return false };
    for (value, of) in values.into_iter().zip(&types) {
        *value = as_common(std::mem::take(value), of, &wanted);
    }
    true
}

/// The parts of an expression that come together.
fn among(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut part = part;
    let changed = match &mut part {
        Expr::Case(case) => {
            let results = case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut());
            together(results.chain(case.else_expr.as_deref_mut()), schema)
        }
        Expr::ScalarFunction(call) if ALIKE.contains(&call.func.name()) => together(&mut call.args, schema),
        // The origin is a time of the kind of what is cut.
        Expr::ScalarFunction(call) if call.func.name() == "date_bin" => {
            let times = call.args.get_mut(1..).unwrap_or_default();
            let text = match times {
                [time, origin] => match (time.get_type(schema), origin.get_type(schema)) {
                    (Ok(of @ DataType::Timestamp(_, Some(_))), Ok(text)) if text.is_string() => {
                        *origin = cast(std::mem::take(origin), of);
                        true
                    }
                    _ => false,
                },
                _ => false,
            };
            text || together(times, schema)
        }
        Expr::Between(between) => {
            let values = [&mut between.expr, &mut between.low, &mut between.high];
            together(values.map(|value| value.as_mut()), schema)
        }
        Expr::BinaryExpr(binary) if binary.op.supports_propagation() => {
            together([binary.left.as_mut(), binary.right.as_mut()], schema)
        }
        Expr::InList(list) => together(std::iter::once(list.expr.as_mut()).chain(&mut list.list), schema),
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            let own = expr.get_type(schema).unwrap_or(DataType::Null);
            let rows = subquery.subquery.clone();
            let item = rows.schema().field(0).data_type().clone();
            match common(&[own.clone(), item.clone()]) {
                Some(wanted) if becomes(&item, &wanted) => {
                    subquery.subquery = Arc::new(with_types(rows.as_ref().clone(), &[Some(wanted)])?);
                    true
                }
                Some(wanted) => {
                    **expr = as_common(std::mem::take(expr.as_mut()), &own, &wanted);
                    true
                }
                None => false,
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(part) } else { Transformed::no(part) })
}

/// What two tables are joined by.
fn in_join(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
    let (left, right) = (join.left.schema().clone(), join.right.schema().clone());
    let mut changed = false;
    for (one, other) in &mut join.on {
        let types = [one.get_type(&left)?, other.get_type(&right)?];
        if let Some(wanted) = common(&types) {
            *one = as_common(std::mem::take(one), &types[0], &wanted);
            *other = as_common(std::mem::take(other), &types[1], &wanted);
            changed = true;
        }
    }
    let mut both = left.as_ref().clone();
    both.merge(&right);
    let rest =
        LogicalPlan::Join(join).map_expressions(|expr| expr.transform_up(|part| among(part, &both)))?;
    let found = changed || rest.transformed;
    Ok(if found { Transformed::yes(rest.data) } else { Transformed::no(rest.data) })
}

fn in_union(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(mut union) = node else { return Ok(Transformed::no(node)) };
    let columns = union.inputs.iter().map(|input| input.schema().fields().len()).min().unwrap_or(0);
    let wanted: Vec<Option<DataType>> = (0..columns)
        .map(|column| {
            let types: Vec<DataType> =
                union.inputs.iter().map(|input| input.schema().field(column).data_type().clone()).collect();
            common(&types)
        })
        .collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    for input in &mut union.inputs {
        *input = Arc::new(with_types(input.as_ref().clone(), &wanted)?);
    }
    // What they have in common now is told anew.
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)))
}

/// A plan whose columns are of the types that their neighbours have.
fn with_types(plan: LogicalPlan, wanted: &[Option<DataType>]) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(plan.schema().fields())
        .enumerate()
        .map(|(index, (column, field))| {
            let name = column.name.clone();
            match wanted.get(index).and_then(Option::as_ref) {
                Some(wanted) if becomes(field.data_type(), wanted) => {
                    as_common(Expr::Column(column), field.data_type(), wanted).alias(name)
                }
                _ => Expr::Column(column),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
