//! The folder of a run: written so that every file is complete or absent, and read back to draw again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::columns::{MessageRow, TargetRow};
use crate::json;
use crate::render::Options;
use crate::report::Report;
use crate::table::{Row, TableError, read_csv, write_csv};

/// Why a folder could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A CSV file is not as we write it.
    #[error("{}: {source}", folder.display())]
    Table {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, with file and line.
        source: TableError,
    },
    /// The summary is not as we write it.
    #[error("{}: {source}", path.display())]
    Summary {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// In which form plots are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Scalable, for the web and print.
    Svg,
    /// Pixels, for slides.
    Png,
}

impl Format {
    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Png => "png",
        }
    }
}

/// A file to be written: its path inside the folder, and its bytes.
pub type File = (String, Vec<u8>);

impl Report {
    /// The CSV files, `summary.json`, `columns.md` and `report.html`.
    pub fn files(&self) -> Vec<File> {
        let mut files = vec![
            csv_file(&self.summary),
            csv_file(&self.timeseries),
            csv_file(&self.latency),
            csv_file(&self.ordering),
            csv_file(&self.faults),
            csv_file(&self.channel_errors),
            csv_file(&self.verdicts),
        ];
        files.extend(self.messages.as_deref().map(csv_file));
        files.extend(self.targets.as_deref().map(csv_file));
        files.push(("summary.json".into(), self.json_text().into_bytes()));
        files.push(("columns.md".into(), crate::columns::columns_markdown().into_bytes()));
        files.push(("report.html".into(), self.html().into_bytes()));
        files
    }

    /// The plots under `plots/`, one file for each and format.
    pub fn plot_files(&self, options: &Options, formats: &[Format]) -> Vec<File> {
        let mut files = Vec::new();
        for plot in self.plots() {
            for format in formats {
                let bytes = match format {
                    Format::Svg => plot.svg(options).into_bytes(),
                    Format::Png => plot.png(options),
                };
                files.push((format!("plots/{}.{}", plot.name, format.ending()), bytes));
            }
        }
        files
    }

    /// Reads a folder that was written from [`files`](Report::files).
    pub fn read(folder: &Path) -> Result<Report, FolderError> {
        let path = folder.join("summary.json");
        let text = fs::read(&path).map_err(io_error("read", &path))?;
        let meta = json::read_meta(&text).map_err(|source| FolderError::Summary { path, source })?;
        Ok(Report {
            meta,
            summary: rows(folder)?,
            timeseries: rows(folder)?,
            latency: rows(folder)?,
            ordering: rows(folder)?,
            faults: rows(folder)?,
            channel_errors: rows(folder)?,
            verdicts: rows(folder)?,
            messages: rows_if_there(folder)?,
            targets: rows_if_there(folder)?,
        })
    }
}

fn csv_file<R: Row>(rows: &[R]) -> File {
    (R::FILE.to_owned(), write_csv(rows))
}

fn rows<R: Row>(folder: &Path) -> Result<Vec<R>, FolderError> {
    let path = folder.join(R::FILE);
    let text = fs::read(&path).map_err(io_error("read", &path))?;
    read_csv(&text).map_err(|source| FolderError::Table { folder: folder.to_owned(), source })
}

fn rows_if_there<R: Row>(folder: &Path) -> Result<Option<Vec<R>>, FolderError> {
    folder.join(R::FILE).exists().then(|| rows(folder)).transpose()
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { action, path, source }
}

/// Writes files into a folder, which is created where it is missing. First all are written in full under
/// temporary names, then they take their places; if anything fails before that, what was there stays as it was
/// and nothing is left behind. What is written on request alone, and is left from an earlier run, is removed, because
/// it would belong to another run than the files beside it.
pub fn write_folder(folder: &Path, files: &[File]) -> Result<(), FolderError> {
    let mut staged = Staged(Vec::new());
    for (name, bytes) in files {
        staged.write(&folder.join(name), bytes)?;
    }
    let is_written = |wanted: &str| files.iter().any(|(name, _)| name == wanted);
    for name in [MessageRow::FILE, TargetRow::FILE] {
        let old = folder.join(name);
        if !is_written("summary.csv") || is_written(name) {
            continue;
        }
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &old)(error)),
            _ => {}
        }
    }
    staged.place()
}

/// Files under temporary names, each with the name that it is to have. Dropping removes what was not placed.
struct Staged(Vec<(PathBuf, PathBuf)>);

impl Staged {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("create the folder", parent))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let mut file = fs::File::create(&temporary).map_err(io_error("write", path))?;
        self.0.push((temporary, path.to_owned()));
        // A full disk may show only when the data is really written, hence the sync before the name is given.
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", path))
    }

    fn place(mut self) -> Result<(), FolderError> {
        while let Some((temporary, path)) = self.0.last() {
            fs::rename(temporary, path).map_err(io_error("write", path))?;
            self.0.pop();
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (temporary, _) in &self.0 {
            // Nothing more can be done about a file that cannot be removed; the first error is reported already.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn plots_from_the_folder_are_the_plots_of_the_run() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let report = samples::report(&["billing", "audit"]);
        write_folder(folder.path(), &report.files()).expect("it can be written");
        let read = Report::read(folder.path()).expect("our own files");
        assert_eq!(read, report);
        assert_eq!(read.plots(), report.plots());
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let put = |name: &str, text: &str| write_folder(folder.path(), &[(name.into(), text.into())]);
        put("a.csv", "old").expect("it can be written");
        fs::create_dir(folder.path().join("b.csv")).expect("it can be made");
        fs::write(folder.path().join("c"), "a file").expect("it can be written");
        let files = [("a.csv".into(), b"new".to_vec()), ("c/d.csv".into(), b"new".to_vec())];
        let error = write_folder(folder.path(), &files).expect_err("c is a file").to_string();
        assert!(error.contains("/c") && error.starts_with("cannot create the folder"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("a.csv")).expect("it is still there"), "old");
        let names =
            fs::read_dir(folder.path()).expect("it is a folder").map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["a.csv", "b.csv", "c"], "no temporary file is left");
    }

    #[test]
    fn messages_of_an_earlier_run_do_not_stay_beside_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut report = samples::report(&["billing"]);
        report.messages = Some(vec![MessageRow::default()]);
        write_folder(folder.path(), &report.files()).expect("it can be written");
        assert!(folder.path().join("messages.csv").exists());
        report.messages = None;
        write_folder(folder.path(), &report.files()).expect("it can be written");
        assert!(!folder.path().join("messages.csv").exists());
    }

    #[test]
    fn a_folder_that_is_none_is_refused_by_name() {
        let error = Report::read(Path::new("no-such-folder")).expect_err("there is none").to_string();
        assert!(error.starts_with("cannot read no-such-folder/summary.json: "), "{error}");
    }
}
