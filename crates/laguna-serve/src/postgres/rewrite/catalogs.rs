//! What tools ask the catalog in ways of their own: relations that never have rows, access lists, the relation of a row.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::headers::{is_same, output_name};
use super::select::name_of;
use super::select::reads_nothing;
use super::{catalog, constant, is_system, last_name, relations, sql};

/// Changes the selects and the recursion of a query.
pub(super) fn apply(query: &mut Query) {
    stop_recursion(query);
    selects(&mut query.body);
}

fn selects(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            access_lists(select);
            rows_relations(select);
            named_relations(select);
            whole_relations(select);
            if reads_nothing(select) {
                ask_nothing(select);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            selects(left);
            selects(right);
        }
        // A query in parentheses is visited by itself.
        _ => {}
    }
}

/// A recursion that takes its steps over what never has rows ends with its first.
pub(super) fn stop_recursion(query: &mut Query) {
    let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return };
    let mut stopped = false;
    for cte in &mut with.cte_tables {
        if let SetExpr::SetOperation { left, right, op: SetOperator::Union, .. } = cte.query.body.as_ref()
            && matches!(right.as_ref(), SetExpr::Select(step) if reads_nothing(step))
        {
            cte.query.body = left.clone();
            stopped = true;
        }
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let ([cte], [TableWithJoins { relation, joins }]) =
        (with.cte_tables.as_slice(), select.from.as_mut_slice())
    else {
        return;
    };
    // Then it is a query like others, which may ask the tables around it.
    let SetExpr::Select(once) = cte.query.body.as_ref() else { return };
    let is_cte = matches!(relation, TableFactor::Table { name, args: None, .. }
        if name.0.len() == 1 && last_name(name) == cte.alias.name.value.to_lowercase());
    if !stopped || !joins.is_empty() || !is_cte || select.selection.is_some() {
        return;
    }
    let of_once = |item: &SelectItem| {
        let (SelectItem::UnnamedExpr(Expr::Identifier(name))
        | SelectItem::ExprWithAlias { expr: Expr::Identifier(name), .. }) = item
        else {
            return None;
        };
        let known = once
            .projection
            .iter()
            .find(|known| output_name(known).is_some_and(|known| is_same(&known, name)))?;
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = known else {
            return None;
        };
        Some(SelectItem::ExprWithAlias { expr: expr.clone(), alias: output_name(item)? })
    };
    if let Some(projection) = select.projection.iter().map(of_once).collect() {
        let mut once = once.clone();
        once.projection = projection;
        *query.body = SetExpr::Select(once);
        query.with = None;
    }
}

/// Leaves the conditions of a select out that has no rows whatever they are.
fn ask_nothing(select: &mut Select) {
    select.selection = Some(sql("false"));
    for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
        if let TableFactor::Derived { lateral: true, alias: Some(alias), .. } = &join.relation
            && !alias.columns.is_empty()
        {
            let columns: Vec<String> =
                alias.columns.iter().map(|column| format!("CAST(NULL AS INT) AS {}", column.name)).collect();
            if let Some(none) =
                relations::relation(&format!("(SELECT {}) AS {}", columns.join(", "), alias.name))
            {
                join.relation = none;
            }
        }
        if let JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) = &mut join.join_operator
            && matches!(constraint, JoinConstraint::On(_))
        {
            *constraint = JoinConstraint::On(sql("true"));
        }
    }
}

/// `aclexplode(…)` makes no rows: nobody but the owner is in an access list.
fn access_lists(select: &mut Select) {
    const ENTRY: [(&str, &str); 4] =
        [("grantor", "OID"), ("grantee", "OID"), ("privilege_type", "TEXT"), ("is_grantable", "BOOLEAN")];
    let of = |factor: &mut TableFactor| {
        let alias = match factor {
            TableFactor::Table { name, args: Some(_), alias, .. }
            | TableFactor::Function { name, alias, .. }
                if last_name(name) == "aclexplode" =>
            {
                alias.clone()
            }
            _ => return,
        };
        let columns: Vec<String> =
            ENTRY.iter().map(|(name, of)| format!("CAST(NULL AS {of}) AS {name}")).collect();
        let alias = alias.map_or_else(|| "aclexplode".to_string(), |alias| alias.to_string());
        let alias = alias.trim_start_matches("AS ");
        if let Some(empty) =
            relations::relation(&format!("(SELECT {} WHERE false) AS {alias}", columns.join(", ")))
        {
            *factor = empty;
        }
    };
    for table in &mut select.from {
        of(&mut table.relation);
        table.joins.iter_mut().for_each(|join| of(&mut join.relation));
    }
    let mut found = false;
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _: ControlFlow<()> = visit_expressions_mut(expr, |part: &mut Expr| {
            if matches!(part, Expr::Function(call) if last_name(&call.name) == "aclexplode") {
                let fields: Vec<String> =
                    ENTRY.iter().map(|(name, of)| format!("'{name}', CAST(NULL AS {of})")).collect();
                *part = sql(&format!("named_struct({})", fields.join(", ")));
                found = true;
            }
            ControlFlow::Continue(())
        });
    }
    if found {
        select.selection = Some(sql("false"));
    }
}

/// `t.tableoid` and `t.xmin` of the catalog's relations.
fn rows_relations(select: &mut Select) {
    let joined = select.from.iter().flat_map(|table| table.joins.iter().map(|join| &join.relation));
    let known: Vec<(Ident, u32)> = select
        .from
        .iter()
        .map(|table| &table.relation)
        .chain(joined)
        .filter_map(|factor| match factor {
            TableFactor::Table { name, args: None, .. } if name.0.len() == 1 || is_system(name) => {
                Some((name_of(factor)?, catalog::system_oid(&last_name(name))?))
            }
            _ => None,
        })
        .collect();
    if known.is_empty() {
        return;
    }
    let _: ControlFlow<()> = visit_expressions_mut(select, |part: &mut Expr| {
        let (table, column) = match &*part {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] => (Some(table), column),
                _ => return ControlFlow::Continue(()),
            },
            Expr::Identifier(column) => (None, column),
            _ => return ControlFlow::Continue(()),
        };
        let mut named = known
            .iter()
            .filter(|(name, _)| table.is_none_or(|table| name.value.eq_ignore_ascii_case(&table.value)));
        let value = match (column.value.to_lowercase().as_str(), named.next()) {
            ("tableoid", Some((_, oid))) => format!("CAST({oid} AS OID)"),
            ("xmin", Some(_)) => "CAST(2 AS XID)".to_string(),
            _ => return ControlFlow::Continue(()),
        };
        *part = sql(&value);
        ControlFlow::Continue(())
    });
}

/// `t.*` of a table that is named with its schema.
fn whole_relations(select: &mut Select) {
    let joined = select.from.iter().flat_map(|table| table.joins.iter().map(|join| &join.relation));
    let named: Vec<ObjectName> = select
        .from
        .iter()
        .map(|table| &table.relation)
        .chain(joined)
        .filter_map(|factor| match factor {
            TableFactor::Table { name, alias: None, args: None, .. } if name.0.len() > 1 => {
                Some(name.clone())
            }
            _ => None,
        })
        .collect();
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
            && name.0.len() == 1
            && let Some(whole) = named.iter().find(|whole| last_name(whole) == last_name(name))
        {
            *name = whole.clone();
        }
    }
}

/// The oid of a relation that is looked up by its name and that of its schema is computed of the two.
fn named_relations(select: &mut Select) {
    let _: ControlFlow<()> = visit_expressions_mut(select, |part: &mut Expr| {
        if let Expr::Subquery(query) = part
            && let Some((schema, name)) = looked_up(query)
        {
            *part = sql(&format!("pg_relation_oid({schema}, {name})"));
        }
        ControlFlow::Continue(())
    });
}

/// `SELECT c.oid FROM pg_class c JOIN pg_namespace n ON … WHERE c.relname = name AND n.nspname = schema`: schema and name.
fn looked_up(query: &Query) -> Option<(Expr, Expr)> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(Expr::CompoundIdentifier(asked))] = select.projection.as_slice() else {
        return None;
    };
    let [TableWithJoins { relation: class, joins }] = select.from.as_slice() else { return None };
    let [Join { relation: namespace, .. }] = joins.as_slice() else { return None };
    let is = |factor: &TableFactor, named: &str| match factor {
        TableFactor::Table { name, args: None, .. } => last_name(name) == named,
        _ => false,
    };
    let (class_name, schema_name) = (name_of(class)?, name_of(namespace)?);
    let own = |ident: &Ident| ident.value == class_name.value || ident.value == schema_name.value;
    let [table, column] = asked.as_slice() else { return None };
    if !is(class, "pg_class")
        || !is(namespace, "pg_namespace")
        || table.value != class_name.value
        || column.value != "oid"
    {
        return None;
    }
    let Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) = &select.selection else {
        return None;
    };
    let compared = |condition: &Expr, column: &str| {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        let Expr::CompoundIdentifier(parts) = left.as_ref() else { return None };
        let is_column = parts.len() == 2 && own(&parts[0]) && parts[1].value == column;
        let outside = match right.as_ref() {
            Expr::CompoundIdentifier(parts) => parts.len() == 2 && !own(&parts[0]),
            right => constant(right).is_some(),
        };
        (is_column && outside).then(|| right.as_ref().clone())
    };
    Some((compared(right, "nspname")?, compared(left, "relname")?))
}

/// Whether it is a text that is made of others: as a `regclass`, the name of a relation.
pub(super) fn is_made_text(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_made_text(inner),
        Expr::BinaryOp { op: BinaryOperator::StringConcat, .. } => true,
        Expr::Cast { data_type, .. } => super::casts::is_text(data_type),
        Expr::Function(call) => ["format", "concat", "quote_ident", "replace", "concat_ws"]
            .contains(&last_name(&call.name).as_str()),
        _ => false,
    }
}

/// Whether it is the column of a session's number.
pub(super) fn is_session(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| name.value.eq_ignore_ascii_case("pid"))
}

/// The session that a condition names: `pid = 123`, with what else there is.
pub(super) fn session_of(select: &Select) -> Option<i32> {
    fn found(condition: &Expr) -> Option<i32> {
        match condition {
            Expr::Nested(inner) => found(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => found(left).or_else(|| found(right)),
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                let value = |expr: &Expr| constant(expr).unwrap_or_else(|| expr.to_string()).parse().ok();
                match (is_session(left), is_session(right)) {
                    (true, false) => value(right),
                    (false, true) => value(left),
                    _ => None,
                }
            }
            _ => None,
        }
    }
    found(select.selection.as_ref()?)
}

/// `pg_stat_activity`: the sessions of the user.
pub(super) fn sessions(factor: &TableFactor, context: &super::Context) -> Option<TableFactor> {
    let TableFactor::Table { name, args: None, alias, .. } = factor else { return None };
    if last_name(name) != "pg_stat_activity" || !(name.0.len() == 1 || is_system(name)) {
        return None;
    }
    let known = catalog::relations().iter().find(|relation| relation.name == "pg_stat_activity")?;
    let column = |(name, of): &(&str, &str)| {
        let value = match *name {
            "datid" => catalog::DATABASE_OID.to_string(),
            "datname" => super::text(catalog::DATABASE).to_string(),
            "usesysid" => catalog::CALLER_OID.to_string(),
            "usename" => super::text(context.user).to_string(),
            "pid" => "pg_v__.pid".to_string(),
            "state" => format!("CASE WHEN pg_v__.pid = {} THEN 'active' END", context.pid),
            "backend_type" => "'client backend'".to_string(),
            _ => "NULL".to_string(),
        };
        let of = if *of == "inet" { "text" } else { of };
        format!("CAST({value} AS {of}) AS {name}")
    };
    let columns: Vec<String> = known.columns.iter().map(column).collect();
    let pids: Vec<String> = (context.sessions)().iter().map(|pid| format!("({pid})")).collect();
    let alias = alias.as_ref().map_or_else(|| "pg_stat_activity".to_string(), |alias| alias.to_string());
    let alias = alias.trim_start_matches("AS ");
    relations::relation(&format!(
        "(SELECT {} FROM (VALUES {}) AS pg_v__ (pid)) AS {alias}",
        columns.join(", "),
        pids.join(", ")
    ))
}
