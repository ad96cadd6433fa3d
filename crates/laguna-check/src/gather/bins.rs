//! How many values lie between edges, as numpy's histogram counts: each bin holds its lower edge, the last one both.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use laguna_base::Result;

use crate::kept::codec::{Reader, Writer};
use crate::view::failed;

#[derive(Debug, Clone)]
pub(crate) struct Bins {
    edges: Vec<f64>,
    pub counts: Vec<u64>,
    pub below: u64,
    pub above: u64,
    pub present: u64,
}

impl Bins {
    pub fn new(edges: &[u64]) -> Bins {
        let edges: Vec<f64> = edges.iter().map(|bits| f64::from_bits(*bits)).collect();
        let counts = vec![0; edges.len().saturating_sub(1)];
        Bins { edges, counts, below: 0, above: 0, present: 0 }
    }

    pub fn update(&mut self, values: &ArrayRef) -> Result<()> {
        if values.data_type() == &DataType::Null {
            return Ok(());
        }
        let floats = cast(values, &DataType::Float64).map_err(failed)?;
        for value in floats.as_primitive::<Float64Type>().iter().flatten() {
            self.add(value);
        }
        Ok(())
    }

    pub fn add(&mut self, value: f64) {
        self.present += 1;
        let (Some(first), Some(last)) = (self.edges.first(), self.edges.last()) else { return };
        if value < *first {
            self.below += 1;
        } else if value > *last {
            self.above += 1;
        } else {
            let bin = self.edges.partition_point(|edge| *edge <= value);
            let bin = bin.saturating_sub(1).min(self.counts.len().saturating_sub(1));
            if let Some(count) = self.counts.get_mut(bin) {
                *count += 1;
            }
        }
    }

    pub fn merge(&mut self, other: &Bins) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(into, from)| *into += from);
        self.below += other.below;
        self.above += other.above;
        self.present += other.present;
    }

    pub fn write(&self, into: &mut Writer) {
        self.counts
            .iter()
            .chain([&self.below, &self.above, &self.present])
            .for_each(|count| into.count(*count));
    }

    pub fn read(from: &mut Reader<'_>, edges: &[u64]) -> Option<Bins> {
        let mut bins = Bins::new(edges);
        for count in &mut bins.counts {
            *count = from.count()?;
        }
        (bins.below, bins.above, bins.present) = (from.count()?, from.count()?, from.count()?);
        from.is_done().then_some(bins)
    }
}
