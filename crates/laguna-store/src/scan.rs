//! A snapshot as a DataFusion table: the file list goes straight to the Parquet source, with the log's statistics.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, Statistics, ToDFSchema, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::parquet::{
    CachedParquetFileReaderFactory, ParquetFileReaderFactory, ParquetRowSelection,
};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::basic::Type as PhysicalType;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::scalar::ScalarValue;
use laguna_base::{Error, Result};
use object_store::ObjectMeta;

use crate::snapshot::data_path;
use crate::{DataFile, Lake, Snapshot};
use lookups::is_looked_up;
use statistics::FileStatistics;

pub use by_file::FileScans;
pub(crate) use lookups::Lookups;

/// Columns besides those of the filters that are rather decoded for all rows than for those alone that pass: finding
/// the rows again costs a tenth of the 22 queries of TPC-H.
const NARROW: usize = 8;

/// Bytes of a dictionary in which there are a hundred values or more.
const LONG: i64 = 1024;

/// Values among which a filter looks for one, below which few rows pass.
const FEW: usize = 20;

mod by_file;
mod lookups;
mod statistics;
#[cfg(test)]
mod tests;

/// Where sessions find the lake's object store; register [`Lake::objects`] under it.
pub fn object_store_url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("laguna://lake").expect("a constant URL parses")
}

/// The schema that [`Lake::provider`] shows for a table of `schema`: top-level text and bytes are read as views, which
/// group, compare and filter faster than plain text; everything else stays.
pub fn read_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(read_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn read_field(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        _ => return field.clone(),
    };
    let read = Field::new(field.name(), data_type, field.is_nullable());
    Arc::new(read.with_metadata(field.metadata().clone()))
}

impl Lake {
    /// `snapshot` as a table that can be queried. Its schema is [`read_schema`] of the snapshot's. Sessions must know
    /// [`Lake::objects`] as [`object_store_url`].
    pub fn provider(&self, snapshot: Arc<Snapshot>) -> Result<Arc<dyn TableProvider>> {
        let lookups = Some(self.lookups.clone());
        Ok(Arc::new(SnapshotTable { lookups, ..SnapshotTable::new(snapshot)? }))
    }
}

/// What the Parquet scans of an executed plan have read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanTotals {
    /// Bytes fetched from storage.
    pub bytes: u64,
    /// Rows that the scans gave on.
    pub rows: u64,
    /// Scans in the plan.
    pub scans: u64,
}

/// Sums what all Parquet scans in `plan` have read so far. Call it after the plan ran.
pub fn scan_totals(plan: &dyn ExecutionPlan) -> ScanTotals {
    let mut totals = ScanTotals::default();
    if (plan as &dyn Any).is::<DataSourceExec>()
        && let Some(metrics) = plan.metrics()
    {
        totals.scans += 1;
        totals.bytes += metrics.sum_by_name("bytes_scanned").map_or(0, |bytes| bytes.as_usize() as u64);
        totals.rows += metrics.output_rows().unwrap_or(0) as u64;
    }
    for child in plan.children() {
        let below = scan_totals(child.as_ref());
        totals.bytes += below.bytes;
        totals.rows += below.rows;
        totals.scans += below.scans;
    }
    totals
}

/// Bytes that all Parquet scans in `plan` have fetched so far.
pub fn bytes_scanned(plan: &dyn ExecutionPlan) -> u64 {
    scan_totals(plan).bytes
}

/// A snapshot with what its scans share.
#[derive(Debug)]
struct SnapshotTable {
    snapshot: Arc<Snapshot>,
    /// Columns in the table's order.
    schema: SchemaRef,
    /// Columns in the Parquet source's order: those in the files, then the partition columns.
    scan_schema: TableSchema,
    /// For each column of `schema` its place in `scan_schema`.
    places: Vec<usize>,
    statistics: FileStatistics,
    /// Where rows are found by their values.
    lookups: Option<Arc<Lookups>>,
}

impl SnapshotTable {
    fn new(snapshot: Arc<Snapshot>) -> Result<SnapshotTable> {
        let schema = read_schema(&snapshot.schema);
        let is_partition = |name: &str| snapshot.partition_columns.iter().any(|column| column == name);
        let in_files: Vec<FieldRef> =
            schema.fields().iter().filter(|field| !is_partition(field.name())).cloned().collect();
        let partitions: Vec<FieldRef> = snapshot
            .partition_columns
            .iter()
            .map(|name| {
                schema.fields().find(name).map(|(_, field)| field.clone()).ok_or_else(|| {
                    Error::stored(format!(
                        "{} is partitioned by `{name}`, which its schema lacks",
                        snapshot.table
                    ))
                })
            })
            .collect::<Result<_>>()?;
        let order: Vec<&str> =
            in_files.iter().chain(&partitions).map(|field| field.name().as_str()).collect();
        let places = schema
            .fields()
            .iter()
            .map(|field| order.iter().position(|name| name == field.name()).unwrap_or_default())
            .collect();
        let scan_schema = TableSchema::builder(Arc::new(Schema::new(in_files)))
            .with_table_partition_cols(partitions)
            .build();
        let statistics = FileStatistics::new(snapshot.clone(), schema.clone());
        Ok(SnapshotTable { snapshot, schema, scan_schema, places, statistics, lookups: None })
    }

    /// Numbers of the files that may hold rows for which `filters` are true.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> DataFusionResult<Vec<usize>> {
        let all = 0..self.snapshot.files.len();
        // What shuffles values says nothing of their bounds.
        let kept = filters.iter().filter(|filter| !shuffles(filter)).cloned();
        let Some(filter) = conjunction(kept) else { return Ok(all.collect()) };
        let schema = self.schema.clone().to_dfschema()?;
        let predicate = state.create_physical_expr(filter, &schema).and_then(|expression| {
            PruningPredicateBuilder::new().with_file_schema(self.schema.clone()).try_build(expression)
        });
        match predicate {
            Ok(predicate) if !predicate.always_true() => {
                let keep = predicate.prune(&self.statistics)?;
                Ok(all.zip(keep).filter_map(|(file, keep)| keep.then_some(file)).collect())
            }
            Ok(_) => Ok(all.collect()),
            Err(error) => {
                tracing::debug!(table = %self.snapshot.table, %error, "files are not pruned");
                Ok(all.collect())
            }
        }
    }

    /// Whether rows should be filtered before the columns that no filter reads are decoded.
    fn is_wide(&self, projection: &[usize], filters: &[Expr]) -> bool {
        let filtered: HashSet<&str> =
            filters.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect();
        let names = self.scan_schema.table_schema();
        let others =
            projection.iter().filter(|place| !filtered.contains(names.field(**place).name().as_str()));
        others.count() > NARROW
    }

    /// The filter that leaves few rows, if there is one: it looks for values of a column that has many.
    fn lookup<'a>(&self, state: &dyn Session, files: &[usize], filters: &'a [Expr]) -> Option<Lookup<'a>> {
        let mut lookups = filters.iter().filter_map(Lookup::of).peekable();
        lookups.peek()?;
        let footer = files.first().and_then(|file| self.known_footer(state, *file))?;
        lookups.find(|lookup| {
            let data_type = self.schema.field_with_name(&lookup.column.name).map(Field::data_type);
            data_type.is_ok_and(is_looked_up) && has_many_values(&footer, &lookup.column.name)
        })
    }

    /// The rows that a lookup finds in the file at `location`: `None` when only reading it tells, else what is to be read,
    /// if anything.
    fn rows_in(
        &self,
        state: &dyn Session,
        file: &PartitionedFile,
        lookup: &Lookup<'_>,
    ) -> Option<Option<RowSelection>> {
        let reader = || {
            let counted = ExecutionPlanMetricsSet::new();
            let reader: lookups::Reader = readers(state)?.create_reader(0, file.clone(), None, &counted)?;
            Ok(reader)
        };
        let index = self.lookups.as_ref()?.index(&file.object_meta.location, &lookup.column.name, reader)?;
        let rows = index.rows_of(&lookup.values)?;
        Some((!rows.is_empty()).then(|| index.selection(&rows)))
    }

    /// The footer of a file, when it was read before.
    fn known_footer(&self, state: &dyn Session, file: usize) -> Option<Arc<ParquetMetaData>> {
        let location = data_path(&self.snapshot.table, &self.snapshot.files[file].path).ok()?;
        let cached = state.runtime_env().cache_manager.get_file_metadata_cache().get(&location)?;
        let footer = cached.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
        Some(footer.parquet_metadata().clone())
    }

    fn partitioned_file(&self, file: &DataFile) -> DataFusionResult<PartitionedFile> {
        let location = data_path(&self.snapshot.table, &file.path)
            .map_err(|error| DataFusionError::External(error.to_string().into()))?;
        let meta = ObjectMeta {
            location,
            last_modified: file.modified.to_datetime(),
            size: file.size,
            e_tag: None,
            version: None,
        };
        let values = self
            .scan_schema
            .table_partition_cols()
            .iter()
            .map(|field| statistics::partition_value(file, field))
            .collect::<DataFusionResult<Vec<_>>>()?;
        Ok(PartitionedFile::new_from_meta(meta).with_partition_values(values))
    }
}

#[async_trait::async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.snapshot.rows() as usize);
        statistics.total_byte_size = Precision::Inexact(self.snapshot.bytes() as usize);
        Some(statistics)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut files = self.prune(state, filters)?;
        files.retain(|file| self.snapshot.files[*file].rows > 0);
        // The limit counts rows after the filters, so only an unfiltered scan can stop early.
        if let Some(limit) = limit
            && filters.is_empty()
        {
            let mut rows = 0;
            let enough = files.iter().position(|file| {
                rows += self.snapshot.files[*file].rows;
                rows >= limit as u64
            });
            files.truncate(enough.map_or(files.len(), |last| last + 1));
        }
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }

        let projection: Vec<usize> = match projection {
            Some(columns) => columns.iter().map(|column| self.places[*column]).collect(),
            None => self.places.clone(),
        };
        let mut statistics = self.statistics.merged(&files, self.scan_schema.table_schema(), &projection);
        let lookup = self.lookup(state, &files, filters);
        let mut partitioned = Vec::with_capacity(files.len());
        let mut found_all = lookup.is_some();
        for file in &files {
            let mut scanned = self.partitioned_file(&self.snapshot.files[*file])?;
            let found = lookup.as_ref().and_then(|lookup| self.rows_in(state, &scanned, lookup));
            found_all &= found.is_some();
            match found {
                Some(None) => continue,
                Some(Some(selection)) => drop(scanned.extensions.insert(ParquetRowSelection::new(selection))),
                None => {}
            }
            partitioned.push(scanned);
        }
        if partitioned.is_empty() {
            let columns =
                projection.iter().map(|place| self.scan_schema.table_schema().field(*place).clone());
            return Ok(Arc::new(EmptyExec::new(Arc::new(Schema::new(columns.collect::<Vec<_>>())))));
        }
        if lookup.is_some() {
            statistics = statistics.to_inexact();
        }
        let groups = groups(partitioned, state.config().target_partitions());
        let filtered = !found_all && (lookup.is_some() || self.is_wide(&projection, filters));
        let bounded = !filters.iter().any(shuffles);
        self.source(state, groups, projection, statistics, limit, (filtered, bounded))
    }
}

impl SnapshotTable {
    /// A scan of the columns at the places in `projection`, one partition a group of files. `filtered`: rows are filtered
    /// before further columns are decoded; `bounded`: the bounds of columns tell which parts of files can be left out.
    fn source(
        &self,
        state: &dyn Session,
        groups: Vec<FileGroup>,
        projection: Vec<usize>,
        statistics: Statistics,
        limit: Option<usize>,
        (filtered, bounded): (bool, bool),
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.pushdown_filters = filtered;
        options.global.pruning &= bounded;
        options.global.enable_page_index &= bounded;
        let mut source = ParquetSource::new(self.scan_schema.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers(state)?));
        if let Some(hint) = state.config_options().execution.parquet.metadata_size_hint {
            source = source.with_metadata_size_hint(hint);
        }
        let config = FileScanConfigBuilder::new(object_store_url(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(projection))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Whether a filter compares times of day that are cast from times: the engine takes such a cast for one that keeps the
/// order, and would leave out files and pages by it that have rows.
fn shuffles(filter: &Expr) -> bool {
    let is_clock = |data_type: &DataType| matches!(data_type, DataType::Time32(_) | DataType::Time64(_));
    let found = filter.exists(|part| {
        Ok(match part {
            Expr::Cast(cast) => is_clock(cast.field.data_type()),
            Expr::TryCast(cast) => is_clock(cast.field.data_type()),
            _ => false,
        })
    });
    // The closure never fails, so neither does the walk.
    found.unwrap_or(true)
}

/// What opens the lake's Parquet files, and keeps their footers.
fn readers(state: &dyn Session) -> DataFusionResult<CachedParquetFileReaderFactory> {
    let runtime = state.runtime_env();
    let objects = runtime.object_store(object_store_url())?;
    Ok(CachedParquetFileReaderFactory::new(objects, runtime.cache_manager.get_file_metadata_cache()))
}

/// A filter that looks for rows with one value of a column, or one of a few.
struct Lookup<'a> {
    column: &'a Column,
    values: Vec<&'a ScalarValue>,
}

impl Lookup<'_> {
    fn of(filter: &Expr) -> Option<Lookup<'_>> {
        fn value(expr: &Expr) -> Option<&ScalarValue> {
            match expr {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            }
        }
        let (column, values) = match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match value(right.as_ref()) {
                Some(found) => (left.as_ref(), vec![found]),
                None => (right.as_ref(), vec![value(left.as_ref())?]),
            },
            // The engine writes short lists so.
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let (mut one, other) = (Lookup::of(left)?, Lookup::of(right)?);
                one.values.extend(other.values);
                return (one.column == other.column && one.values.len() <= FEW).then_some(one);
            }
            Expr::InList(list) if !list.negated && list.list.len() <= FEW => {
                (list.expr.as_ref(), list.list.iter().map(value).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        match column {
            Expr::Column(column) => Some(Lookup { column, values }),
            _ => None,
        }
    }
}

/// Whether a column of a file has so many different values that few rows have any one of them: its dictionary is long, or
/// it has none.
fn has_many_values(footer: &ParquetMetaData, column: &str) -> bool {
    let chunks = footer.row_groups().first().map(|group| group.columns()).unwrap_or_default();
    let chunk = chunks.iter().find(|chunk| chunk.column_path().parts() == [column]);
    chunk.is_some_and(|chunk| match chunk.dictionary_page_offset() {
        Some(start) => chunk.data_page_offset() - start >= LONG,
        None => chunk.column_type() != PhysicalType::BOOLEAN,
    })
}

/// Cuts `files`, in their order, into at most `count` groups of about the same number of bytes.
fn groups(files: Vec<PartitionedFile>, count: usize) -> Vec<FileGroup> {
    let count = count.clamp(1, files.len().max(1)) as u64;
    let total: u64 = files.iter().map(|file| file.object_meta.size).sum::<u64>().max(1);
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count as usize];
    let mut before = 0;
    for file in files {
        // The group in whose share of the bytes the middle of the file lies.
        let middle = before + file.object_meta.size / 2;
        let group = ((middle as u128 * count as u128 / total as u128) as u64).min(count - 1);
        before += file.object_meta.size;
        groups[group as usize].push(file);
    }
    groups.into_iter().filter(|group| !group.is_empty()).map(FileGroup::new).collect()
}
