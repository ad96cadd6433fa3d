//! Days and clocks beside instants: they are instants of the session's zone. The engine, when it brings them together,
//! takes the midnight of UTC, or forgets that there is a zone.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Cast, InSubquery, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
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
    let (DataType::Timestamp(unit, Some(_)), Ok(DataType::Date32)) = (field.data_type(), day.get_type(schema))
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

/// Makes days and clocks instants where one of several values is one and they come together: in a CASE, a list, a union.
/// Goes before the engine brings types together.
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

/// The type of instants, where some of these types are, and others are days or clocks.
fn instant(types: &[DataType]) -> Option<DataType> {
    let zone = types.iter().find_map(|data_type| match data_type {
        DataType::Timestamp(_, Some(zone)) => Some(zone.clone()),
        _ => None,
    })?;
    types.iter().any(is_local).then(|| DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
}

fn is_local(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, None))
}

/// A day or a clock as an instant.
fn as_instant(expr: Expr, of: &DataType, wanted: &DataType) -> Expr {
    match of {
        DataType::Date32 => cast(cast(expr, DataType::Timestamp(TimeUnit::Microsecond, None)), wanted.clone()),
        DataType::Timestamp(_, None) => cast(expr, wanted.clone()),
        _ => expr,
    }
}

/// The parts of an expression that come together.
fn among(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    match part {
        Expr::Case(mut case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            let types: Vec<DataType> = results.map(|expr| of(expr)).collect();
            let Some(wanted) = instant(&types) else { return Ok(Transformed::no(Expr::Case(case))) };
            let results = case.when_then_expr.iter_mut().map(|(_, then)| then).chain(&mut case.else_expr);
            for (result, data_type) in results.zip(&types) {
                **result = as_instant(std::mem::take(result.as_mut()), data_type, &wanted);
            }
            Ok(Transformed::yes(Expr::Case(case)))
        }
        Expr::ScalarFunction(mut call) if ALIKE.contains(&call.func.name()) => {
            let types: Vec<DataType> = call.args.iter().map(of).collect();
            let Some(wanted) = instant(&types) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            for (argument, data_type) in call.args.iter_mut().zip(&types) {
                *argument = as_instant(std::mem::take(argument), data_type, &wanted);
            }
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        Expr::InSubquery(InSubquery { expr, mut subquery, negated }) => {
            let rows = subquery.subquery.clone();
            let own = of(&expr);
            let item = rows.schema().field(0).data_type().clone();
            let (expr, changed) = match instant(&[own.clone(), item.clone()]) {
                Some(wanted) if is_local(&item) => {
                    subquery.subquery = Arc::new(with_types(rows.as_ref().clone(), &[Some(wanted)])?);
                    (expr, true)
                }
                Some(wanted) => (Box::new(as_instant(*expr, &own, &wanted)), true),
                None => (expr, false),
            };
            let data = Expr::InSubquery(InSubquery { expr, subquery, negated });
            Ok(if changed { Transformed::yes(data) } else { Transformed::no(data) })
        }
        part => Ok(Transformed::no(part)),
    }
}

fn in_union(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(mut union) = node else { return Ok(Transformed::no(node)) };
    let columns = union.inputs.iter().map(|input| input.schema().fields().len()).min().unwrap_or(0);
    let wanted: Vec<Option<DataType>> = (0..columns)
        .map(|column| {
            let types: Vec<DataType> =
                union.inputs.iter().map(|input| input.schema().field(column).data_type().clone()).collect();
            instant(&types)
        })
        .collect();
    if wanted.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    for input in &mut union.inputs {
        *input = Arc::new(with_types(input.as_ref().clone(), &wanted)?);
    }
    Ok(Transformed::yes(LogicalPlan::Union(union)))
}

/// A plan whose days and clocks are instants in the columns that want some.
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
                Some(wanted) if is_local(field.data_type()) => {
                    as_instant(Expr::Column(column), field.data_type(), wanted).alias(name)
                }
                _ => Expr::Column(column),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
