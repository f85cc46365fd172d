//! Offset paging as the record API has it.

/// Which part of a list is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// 1 to 1000.
    pub size: u32,
}

impl Page {
    /// Most records on one page.
    pub const MAX_SIZE: u32 = 1000;

    /// Puts what was asked for into the allowed range: page 1 and 30 records
    /// where nothing (or nothing sensible) was said.
    pub fn new(number: i64, size: i64) -> Self {
        let size = if size <= 0 { 30 } else { size };
        Self {
            number: u32::try_from(number.max(1)).unwrap_or(u32::MAX),
            size: u32::try_from(size).unwrap_or(u32::MAX).min(Self::MAX_SIZE),
        }
    }

    /// Records before this page.
    pub fn offset(self) -> i64 {
        (i64::from(self.number) - 1) * i64::from(self.size)
    }
}
