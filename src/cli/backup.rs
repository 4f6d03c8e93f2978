//! `hearth backup`: a copy of the database.

use std::path::Path;

use super::failure::{Done, Failure};
use super::house::House;

/// Writes it.
pub fn run(house: &House, file: &Path) -> Done {
    house.reader()?.backup(file).map_err(Failure::new)
}
