//! Keeping: what detectors have learnt as bytes that carry a version, written and read with every doubt.

/// Keys longer than this are not kept.
pub(crate) const KEY_MAX: usize = 200;

/// Writes numbers and keys.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Bytes that begin with a mark of the detector and its version.
    pub(crate) fn new(mark: &[u8; 8]) -> Self {
        Self(mark.to_vec())
    }

    pub(crate) fn number(&mut self, number: f64) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn key(&mut self, key: &str) {
        let bytes = &key.as_bytes()[..key.len().min(KEY_MAX)];
        // At most KEY_MAX.
        self.0.push(bytes.len() as u8);
        self.0.extend(bytes);
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads them back.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The bytes after the mark.
    ///
    /// # Errors
    /// When the mark is another one.
    pub(crate) fn new(bytes: &'a [u8], mark: &[u8; 8]) -> Result<Self, &'static str> {
        bytes.strip_prefix(mark.as_slice()).map(Self).ok_or("of another version")
    }

    /// A finite number.
    pub(crate) fn number(&mut self) -> Result<f64, &'static str> {
        let (head, rest) = self.0.split_first_chunk::<8>().ok_or("truncated")?;
        self.0 = rest;
        Some(f64::from_le_bytes(*head)).filter(|number| number.is_finite()).ok_or("not a number")
    }

    pub(crate) fn key(&mut self) -> Result<String, &'static str> {
        let (length, rest) = self.0.split_first().ok_or("truncated")?;
        let (key, rest) = rest.split_at_checked(usize::from(*length)).ok_or("truncated")?;
        self.0 = rest;
        String::from_utf8(key.to_vec()).map_err(|_| "not a key")
    }

    /// Whether everything was read.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}
