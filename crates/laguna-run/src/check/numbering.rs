//! Numbers for the rows of several files that are read side by side: known as soon as a block of rows is, in the order
//! of the files, with gaps. Once all blocks are known the gaps are closed.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use laguna_ingest::{Piece, RowNumbers};

/// Bits of a number that tell the row within its file.
const ROW: u32 = 40;

/// The blocks that were read.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbering {
    /// First number of each block and its rows.
    blocks: Vec<(u64, u64)>,
}

impl Numbering {
    /// The number of the first row of a piece; the others follow it.
    pub fn first(piece: &Piece) -> u64 {
        let row = match &piece.rows {
            RowNumbers::From(first) => *first,
            RowNumbers::Each(numbers) => numbers.values().first().map_or(0, |row| row.unsigned_abs()),
        };
        (piece.file as u64) << ROW | row
    }

    /// Notes a block.
    pub fn add(&mut self, first: u64, batch: &RecordBatch) {
        self.blocks.push((first, batch.num_rows() as u64));
    }

    /// Joins the blocks that another stream has read.
    pub fn merge(&mut self, other: Numbering) {
        self.blocks.extend(other.blocks);
    }

    /// Closes the gaps: turns rising numbers into places among all rows, from 0.
    pub fn close(&mut self, numbers: &mut [u64]) {
        self.blocks.sort_unstable();
        let mut blocks = self.blocks.iter();
        let (mut start, mut rows, mut before) = (0, 0, 0);
        for number in numbers {
            while *number >= start + rows {
                before += rows;
                match blocks.next() {
                    Some(next) => (start, rows) = *next,
                    None => return,
                }
            }
            *number = before + number.saturating_sub(start);
        }
    }

    /// Numbers as files and rows that lie in the same blocks.
    pub fn places(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<(usize, u64)> {
        let row = (1 << ROW) - 1;
        numbers.into_iter().map(|number| ((number >> ROW) as usize, number & row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_blocks_are_closed() {
        let mut numbering = Numbering { blocks: vec![((1 << ROW) + 1, 2), (5, 3), (1, 2)] };
        let mut numbers = [1, 2, 6, (1 << ROW) + 1, (1 << ROW) + 2];
        numbering.close(&mut numbers);
        assert_eq!(numbers, [0, 1, 3, 5, 6]);
        assert_eq!(Numbering::places([6, (1 << ROW) + 2]), BTreeSet::from([(0, 6), (1, 2)]));
    }
}
