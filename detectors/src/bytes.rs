//! Reading back what was kept as bytes.

/// Takes values off the front; only finite ones.
pub(crate) struct Reader<'a, 'b>(pub(crate) &'a mut &'b [u8]);

impl Reader<'_, '_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        *self.0 = rest;
        Some(*head)
    }

    pub(crate) fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let one = |_| Some(f32::from_le_bytes(self.take()?)).filter(|value| value.is_finite());
        (0..count).map(one).collect()
    }

    pub(crate) fn doubles(&mut self, count: usize) -> Option<Vec<f64>> {
        let one = |_| Some(f64::from_le_bytes(self.take()?)).filter(|value| value.is_finite());
        (0..count).map(one).collect()
    }
}
