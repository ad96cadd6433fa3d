//! Tables that are made anew of each row of a table before them: functions of its columns, and selects and values without a
//! table of their own. The engine has none of them, so they become further columns of that table:
//! `FROM t, unnest(t.list) u` is `FROM (SELECT t.*, unnest(t.list) AS … FROM t) AS t`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;

use super::headers::{is_same, output_name, twin};
use super::relations::relation;
use super::select::{is_of_columns, name_of, reads_nothing};
use super::{last_name, sql, unnamed};

/// A table that is made of a row, in the engine's words.
struct Made {
    alias: Ident,
    /// Names and values; lists where `many`.
    columns: Vec<(Ident, String)>,
    /// Whether there is a row for each item of the lists, else one row.
    many: bool,
    /// The name of the column that counts the rows.
    number: Option<Ident>,
    /// Documents in the one list, and the columns that are taken out of them with their types.
    members: Vec<(Ident, DataType)>,
}

/// Where a table stands in FROM: which item, and there the first table or one that is joined to it.
type Place = (usize, usize);

/// Puts all such tables of a query into the tables that they are made of.
pub(super) fn apply(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if reads_nothing(select) {
        // Of no rows nothing is made.
        for table in &mut select.from {
            let joined = table.joins.iter_mut().map(|join| &mut join.relation);
            for factor in std::iter::once(&mut table.relation).chain(joined) {
                if let Some(empty) =
                    made_of(factor).filter(|_| is_of_columns(factor)).and_then(|made| empty(&made))
                {
                    *factor = empty;
                }
            }
        }
        return;
    }
    while one(query).is_some() {}
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let joined = select.from.iter().flat_map(|table| table.joins.iter().map(|join| &join.relation));
    let factors = select.from.iter().map(|table| &table.relation).chain(joined);
    // The one column of such a table goes by the table's name too.
    let values: Vec<(Ident, Ident)> = factors
        .filter(|factor| !matches!(factor, TableFactor::Derived { .. }))
        .filter_map(made_of)
        .filter_map(|made| match made.all().as_slice() {
            [column] if !is_same(column, &made.alias) => Some((made.alias.clone(), column.clone())),
            _ => None,
        })
        .collect();
    if values.is_empty() {
        return;
    }
    let _: ControlFlow<()> = visit_expressions_mut(query, |part: &mut Expr| {
        if let Expr::Identifier(name) = &*part
            && let Some((table, column)) = values.iter().find(|(table, _)| is_same(table, name))
        {
            *part = Expr::CompoundIdentifier(vec![table.clone(), column.clone()]);
        }
        ControlFlow::Continue(())
    });
}

/// A table without rows in the place of one that would be made.
fn empty(made: &Made) -> Option<TableFactor> {
    let columns: Vec<String> =
        made.all().iter().map(|column| format!("CAST(NULL AS INT) AS {column}")).collect();
    relation(&format!("(SELECT {} WHERE false) AS {}", columns.join(", "), made.alias))
}

/// Puts one of them there; `None` when there is none left that can be.
fn one(query: &mut Query) -> Option<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let places: Vec<Place> = (0..select.from.len())
        .flat_map(|item| (0..=select.from[item].joins.len()).map(move |join| (item, join)))
        .collect();
    let (place, made, host, keeps) = places.iter().enumerate().find_map(|(index, place)| {
        let factor = at(&select.from, *place)?;
        let made = made_of(factor)?;
        let host = host(&select.from, &places[..index], &made)?;
        let keeps = joined(&select.from, *place)?;
        Some((*place, made, host, keeps))
    })?;
    let name = name_of(at(&select.from, host)?)?;
    let within = derived(at(&select.from, host)?, &name, &made, keeps)?;
    if let Some(condition) = take(&mut select.from, place) {
        select.selection = Some(match select.selection.take() {
            Some(other) => sql(&format!("({other}) AND ({condition})")),
            None => condition,
        });
    }
    *at_mut(&mut select.from, host)? = within;
    refer(query, &made, &name);
    Some(())
}

fn at(from: &[TableWithJoins], (item, join): Place) -> Option<&TableFactor> {
    let table = from.get(item)?;
    if join == 0 { Some(&table.relation) } else { table.joins.get(join - 1).map(|join| &join.relation) }
}

fn at_mut(from: &mut [TableWithJoins], (item, join): Place) -> Option<&mut TableFactor> {
    let table = from.get_mut(item)?;
    if join == 0 {
        Some(&mut table.relation)
    } else {
        table.joins.get_mut(join - 1).map(|join| &mut join.relation)
    }
}

/// Whether a table keeps the rows before it that it makes nothing of; `None` where it is joined so that it must stay.
fn joined(from: &[TableWithJoins], (item, join): Place) -> Option<bool> {
    if join == 0 {
        return Some(false);
    }
    let is_true = |on: &Expr| on.to_string().eq_ignore_ascii_case("true");
    match &from.get(item)?.joins.get(join - 1)?.join_operator {
        JoinOperator::CrossJoin(_)
        | JoinOperator::Join(JoinConstraint::On(_) | JoinConstraint::None)
        | JoinOperator::Inner(JoinConstraint::On(_) | JoinConstraint::None) => Some(false),
        JoinOperator::Left(JoinConstraint::On(on)) | JoinOperator::LeftOuter(JoinConstraint::On(on))
            if is_true(on) =>
        {
            Some(true)
        }
        _ => None,
    }
}

/// Takes a table out of FROM; the condition by which it was joined.
fn take(from: &mut Vec<TableWithJoins>, (item, join): Place) -> Option<Expr> {
    if join == 0 {
        let rest = from.remove(item).joins;
        if let Some(before) = item.checked_sub(1).and_then(|before| from.get_mut(before)) {
            before.joins.extend(rest);
        }
        return None;
    }
    match from[item].joins.remove(join - 1).join_operator {
        JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) => Some(on),
        _ => None,
    }
}

/// The table before it that it is made of.
fn host(from: &[TableWithJoins], before: &[Place], made: &Made) -> Option<Place> {
    let (mut tables, mut bare) = (Vec::new(), false);
    for (_, value) in &made.columns {
        let _: ControlFlow<()> = visit_expressions(&sql(value), |part: &Expr| {
            match part {
                Expr::CompoundIdentifier(parts) if parts.len() > 1 => {
                    tables.push(parts[parts.len() - 2].clone());
                }
                Expr::Identifier(_) => bare = true,
                _ => {}
            }
            ControlFlow::Continue(())
        });
    }
    let named = |place: &&Place| {
        let name = at(from, **place).and_then(name_of);
        name.is_some_and(|name| tables.iter().any(|table| is_same(table, &name)))
    };
    let mut hosts = before.iter().filter(named);
    match (hosts.next(), hosts.next(), before) {
        (Some(host), None, _) => Some(*host),
        // A name without a table can be no other's.
        (None, None, [only]) if bare => Some(*only),
        _ => None,
    }
}

/// A table as what it is made of; `None` for tables that are none of these.
fn made_of(factor: &TableFactor) -> Option<Made> {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            let function = last_name(name);
            let arguments: Vec<&Expr> = args.args.iter().filter_map(unnamed).collect();
            call(&function, &arguments, alias.as_ref(), *with_ordinality)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            let arguments: Vec<&Expr> = args.iter().filter_map(unnamed).collect();
            call(&last_name(name), &arguments, alias.as_ref(), *with_ordinality)
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, with_offset: false, .. } => {
            call("unnest", &array_exprs.iter().collect::<Vec<_>>(), alias.as_ref(), *with_ordinality)
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } => of_query(subquery, alias),
        _ => None,
    }
}

/// A function that stands for a table.
fn call(function: &str, arguments: &[&Expr], alias: Option<&TableAlias>, numbered: bool) -> Option<Made> {
    let plain = function.replace("jsonb", "json");
    let mut shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    if function.starts_with("jsonb_")
        && let Some(document) = shown.first_mut()
    {
        *document = format!("pg_jsonb({document})");
    }
    let all = shown.join(", ");
    let flags = |from: usize| if shown.len() > from { "" } else { ", ''" };
    let (lists, fixed): (Vec<(&str, String)>, bool) = match (plain.as_str(), shown.as_slice()) {
        ("unnest", [_, ..]) => (shown.iter().map(|list| ("unnest", list.clone())).collect(), false),
        ("json_array_elements" | "json_to_recordset", [of]) => {
            (vec![("value", format!("pg_json_elements({of})"))], true)
        }
        ("json_array_elements_text", [of]) => (vec![("value", format!("pg_json_elements_text({of})"))], true),
        ("json_to_record", [of]) => (vec![("value", format!("make_array(CAST({of} AS TEXT))"))], true),
        ("json_object_keys", [of]) => (vec![("json_object_keys", format!("pg_json_keys({of})"))], false),
        ("json_each", [of]) => {
            (vec![("key", format!("pg_json_keys({of})")), ("value", format!("pg_json_values({of})"))], true)
        }
        ("json_each_text", [of]) => (
            vec![("key", format!("pg_json_keys({of})")), ("value", format!("pg_json_values_text({of})"))],
            true,
        ),
        ("regexp_split_to_table", [_, _, ..]) => {
            (vec![("regexp_split_to_table", format!("pg_regexp_split({all}{})", flags(2)))], false)
        }
        ("regexp_matches", [_, _, ..]) => {
            (vec![("regexp_matches", format!("pg_regexp_matches({all}{})", flags(2)))], false)
        }
        ("string_to_table", [_, _]) => (vec![("string_to_table", format!("string_to_array({all})"))], false),
        ("generate_series", [_, _, ..]) => {
            (vec![("generate_series", super::relations::series(arguments))], false)
        }
        ("generate_subscripts", [list, _]) => {
            let numbers = format!("\"generate_series\"(1, CAST(array_length({list}) AS BIGINT))");
            (vec![("generate_subscripts", numbers)], false)
        }
        _ => return None,
    };
    let name = alias.map_or_else(|| Ident::new(function), |alias| alias.name.clone());
    let given: Vec<&TableAliasColumnDef> = alias.iter().flat_map(|alias| &alias.columns).collect();
    let of_record = matches!(plain.as_str(), "json_to_recordset" | "json_to_record");
    let one = lists.len() == 1 && !fixed;
    let column = |index: usize, default: &str| match given.get(index) {
        Some(column) if !of_record => column.name.clone(),
        // A function that makes one column calls it as the table is called.
        _ if one => name.clone(),
        _ => Ident::new(default),
    };
    let count = lists.len();
    let columns =
        lists.into_iter().enumerate().map(|(index, (default, list))| (column(index, default), list));
    let members = match of_record {
        true => given
            .iter()
            .map(|column| Some((column.name.clone(), column.data_type.clone()?)))
            .collect::<Option<Vec<_>>>()?,
        false => Vec::new(),
    };
    let number =
        numbered.then(|| given.get(count).map_or_else(|| Ident::new("ordinality"), |it| it.name.clone()));
    Some(Made { columns: columns.collect(), alias: name, many: true, number, members })
}

/// A select without a table, or values.
fn of_query(query: &Query, alias: &TableAlias) -> Option<Made> {
    if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() {
        return None;
    }
    let given = |index: usize| alias.columns.get(index).map(|column| column.name.clone());
    let (columns, many) = match query.body.as_ref() {
        SetExpr::Select(select) => {
            let plain = select.from.is_empty()
                && select.selection.is_none()
                && select.having.is_none()
                && select.distinct.is_none();
            if !plain {
                return None;
            }
            let column = |(index, item): (usize, &SelectItem)| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    let name = given(index).or_else(|| output_name(item))?;
                    Some((name, expr.to_string()))
                }
                _ => None,
            };
            (select.projection.iter().enumerate().map(column).collect::<Option<Vec<_>>>()?, false)
        }
        SetExpr::Values(values) => {
            let width = values.rows.first()?.content.len();
            let column = |index: usize| {
                let items: Vec<String> = values
                    .rows
                    .iter()
                    .filter_map(|row| row.content.get(index))
                    .map(ToString::to_string)
                    .collect();
                let name = given(index).unwrap_or_else(|| Ident::new(format!("column{}", index + 1)));
                (name, format!("make_array({})", items.join(", ")))
            };
            ((0..width).map(column).collect(), true)
        }
        _ => return None,
    };
    Some(Made { alias: alias.name.clone(), columns, many, number: None, members: Vec::new() })
}

impl Made {
    /// What a column is called among those of the table that it goes to.
    fn within(&self, column: &Ident) -> Ident {
        twin(&column.value, &self.alias.value)
    }

    /// The columns as SQL; `row` makes one value of what a column is made of.
    fn written(&self, row: impl Fn(&String) -> String, name: impl Fn(&Ident) -> Ident) -> Vec<String> {
        match self.members.as_slice() {
            [] => self
                .columns
                .iter()
                .map(|(column, value)| format!("{} AS {}", row(value), name(column)))
                .collect(),
            members => {
                let documents = self.columns.first().map(|(_, list)| list.as_str()).unwrap_or_default();
                let member = |(column, data_type): &(Ident, DataType)| {
                    let key = column.value.replace('\'', "''");
                    let value = row(&format!("pg_json_members({documents}, '{key}')"));
                    format!("CAST({value} AS {data_type}) AS {}", name(column))
                };
                members.iter().map(member).collect()
            }
        }
    }

    /// All columns that others may name.
    fn all(&self) -> Vec<Ident> {
        let own = match self.members.is_empty() {
            true => self.columns.iter().map(|(name, _)| name.clone()).collect(),
            false => self.members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(),
        };
        own.into_iter().chain(self.number.clone()).collect()
    }
}

/// The table with the columns that are made of it; `keeps`: rows of which nothing is made too.
fn derived(table: &TableFactor, name: &Ident, made: &Made, keeps: bool) -> Option<TableFactor> {
    let lengths: Vec<String> =
        made.columns.iter().map(|(_, list)| format!("coalesce(array_length({list}), 0)")).collect();
    let longest =
        if lengths.len() > 1 { format!("\"greatest\"({})", lengths.join(", ")) } else { lengths.concat() };
    let row = |value: &String| match (made.many, keeps) {
        (false, _) => value.clone(),
        (true, false) => format!("unnest({value})"),
        (true, true) => format!("unnest(CASE WHEN {longest} > 0 THEN {value} ELSE make_array(NULL) END)"),
    };
    let mut columns = made.written(row, |column| made.within(column));
    if let Some(number) = &made.number {
        let numbers = format!("\"generate_series\"(1, CAST({longest} AS BIGINT))");
        columns.push(format!("unnest({numbers}) AS {}", made.within(number)));
    }
    relation(&format!("(SELECT {name}.*, {} FROM {table}) AS {name}", columns.join(", ")))
}

/// Lets what names the table that is gone name the columns of the one that has them.
fn refer(query: &mut Query, made: &Made, host: &Ident) {
    let columns = made.all();
    let now = |column: &Ident| Expr::CompoundIdentifier(vec![host.clone(), made.within(column)]);
    let meant = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] if is_same(table, &made.alias) => {
                columns.iter().find(|known| is_same(known, column))
            }
            _ => None,
        },
        Expr::Identifier(name) => columns
            .iter()
            .find(|known| is_same(known, name))
            .or_else(|| columns.first().filter(|_| columns.len() == 1 && is_same(name, &made.alias))),
        _ => None,
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = &*item
                && meant(expr).is_some()
                && let Some(alias) = output_name(item)
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
    }
    let _: ControlFlow<()> = visit_expressions_mut(query, |part: &mut Expr| {
        if let Some(column) = meant(part) {
            *part = now(column);
        }
        ControlFlow::Continue(())
    });
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let stars = |item: &SelectItem| match item {
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            name.0.len() == 1 && name.0[0].as_ident().is_some_and(|name| is_same(name, &made.alias))
        }
        _ => false,
    };
    select.projection = std::mem::take(&mut select.projection)
        .into_iter()
        .flat_map(|item| match stars(&item) {
            true => columns
                .iter()
                .map(|column| SelectItem::ExprWithAlias { expr: now(column), alias: column.clone() })
                .collect(),
            false => vec![item],
        })
        .collect();
}

/// `json_to_recordset(…) AS t (a int, b text)` and `json_to_record`, which are made of no row: a table of their own.
pub(super) fn records(factor: &TableFactor) -> Option<TableFactor> {
    let made = made_of(factor).filter(|made| !made.members.is_empty())?;
    let members = made.written(|list| format!("unnest({list})"), Ident::clone);
    relation(&format!("(SELECT {}) AS {}", members.join(", "), made.alias))
}

/// The list that a function makes rows of.
pub(super) fn list_of(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments: Vec<&Expr> = list.args.iter().filter_map(unnamed).collect();
    let made = call(&last_name(&function.name), &arguments, None, false)?;
    match made.columns.as_slice() {
        [(_, list)] => Some(sql(list)),
        _ => None,
    }
}
