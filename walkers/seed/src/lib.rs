//! The seed's examples, one file each.

mod analyze_data;
mod check_processing;
mod process_large_dataset;
mod safe_process;
mod sample;
mod view_sample_result;
