//! How a setting gets its value: flag over environment over file over default, and where it came from is kept.
//!
//! Invariants:
//! - every value is text until it is parsed here, so that all four origins accept the same spellings;
//! - an empty environment variable is one that is not set (compose files pass those through);
//! - what cannot be parsed is an error that names the origin, never a silent default.

use std::path::Path;

use super::error::{ConfigError, Origin};

use crate::task::WorkerName;

use super::file::{ConfigFile, Whose};

/// What the command line or the environment said about one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The setting.
    pub key: &'static str,
    /// Its values as text; one unless the flag can be repeated.
    pub values: Vec<String>,
    /// [`Origin::Flag`] or [`Origin::Environment`].
    pub origin: Origin,
}

/// A setting as it was resolved, for `--print-config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The setting.
    pub key: &'static str,
    /// Its value; empty for none.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Resolves settings, one after another, and remembers what it found.
#[derive(Debug)]
pub struct Settings {
    given: Vec<Given>,
    file: Option<ConfigFile>,
    whose: Whose,
    shown: Vec<Shown>,
}

impl Settings {
    /// Settings from what was given and from a file.
    pub const fn new(given: Vec<Given>, file: Option<ConfigFile>) -> Self {
        Self { given, file, whose: Whose::Common, shown: Vec::new() }
    }

    /// The file that is read.
    pub fn file_path(&self) -> Option<&Path> {
        self.file.as_ref().map(ConfigFile::path)
    }

    /// From here on, the file's table for `worker` overrides its other keys.
    pub fn narrow_to(&mut self, worker: &WorkerName) {
        self.whose = Whose::Worker(worker.clone());
    }

    /// From here on, the file's table for the supervisor overrides its other keys.
    pub fn narrow_to_supervisor(&mut self) {
        self.whose = Whose::Supervisor;
    }

    /// What the file's table for `worker` says of `key`.
    pub fn of_worker(&self, worker: &str, key: &str) -> Option<String> {
        self.file.as_ref()?.of_worker(worker, key).map(str::to_owned)
    }

    /// One value; `default` is parsed like any other. The parser's error is a fragment such as `takes a number`.
    pub fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        default: &str,
    ) -> Result<T, ConfigError> {
        let (values, origin) = self.find(key).unwrap_or_else(|| (vec![default.to_owned()], Origin::Default));
        self.parse_one(key, values, origin, parse)
    }

    /// One value, or none where nobody gave one.
    pub fn take_optional<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((values, origin)) = self.find(key) else {
            self.shown.push(Shown { key, value: String::new(), origin: Origin::Default });
            return Ok(None);
        };
        self.parse_one(key, values, origin, parse).map(Some)
    }

    /// All values of a setting that can be repeated or separated by commas.
    pub fn take_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
        default: &str,
    ) -> Result<Vec<T>, ConfigError> {
        let (values, origin) = self.find(key).unwrap_or_else(|| (vec![default.to_owned()], Origin::Default));
        let parts: Vec<&str> = values
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let parsed = parts
            .iter()
            .map(|part| {
                parse(part).map_err(|why| ConfigError::Bad {
                    key,
                    text: (*part).to_owned(),
                    origin: origin.clone(),
                    why,
                })
            })
            .collect::<Result<Vec<T>, _>>()?;
        self.shown.push(Shown { key, value: parts.join(","), origin });
        Ok(parsed)
    }

    /// All settings that were resolved so far, in that order.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// What stood on the command line itself.
    pub fn flags(&self) -> impl Iterator<Item = &Given> {
        self.given.iter().filter(|given| given.origin == Origin::Flag)
    }

    fn find(&self, key: &'static str) -> Option<(Vec<String>, Origin)> {
        let empty = |values: &[String]| values.iter().all(String::is_empty);
        let given = self
            .given
            .iter()
            .find(|given| given.key == key && (given.origin == Origin::Flag || !empty(&given.values)));
        if let Some(given) = given {
            return Some((given.values.clone(), given.origin.clone()));
        }
        let (values, spot) = self.file.as_ref()?.get(key, &self.whose)?;
        Some((values.clone(), Origin::File(spot.clone())))
    }

    fn parse_one<T>(
        &mut self,
        key: &'static str,
        mut values: Vec<String>,
        origin: Origin,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let bad = |text: String, why: String, origin: &Origin| ConfigError::Bad {
            key,
            text,
            origin: origin.clone(),
            why,
        };
        if values.len() != 1 {
            return Err(bad(values.join(", "), "takes one value".to_owned(), &origin));
        }
        let text = values.remove(0);
        let value = parse(text.trim()).map_err(|why| bad(text.clone(), why, &origin))?;
        self.shown.push(Shown { key, value: text, origin });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::super::file::Spot;
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "takes a number".to_owned())
    }

    fn settings(given: &[(&str, Origin)], file: &str) -> Settings {
        let given = given
            .iter()
            .map(|(value, origin)| Given {
                key: "concurrency",
                values: vec![(*value).to_owned()],
                origin: origin.clone(),
            })
            .collect();
        Settings::new(given, Some(ConfigFile::parse(Path::new("/f.toml"), file).unwrap()))
    }

    fn spot() -> Spot {
        Spot { path: "/f.toml".into(), line: 1, column: 1 }
    }

    #[test]
    fn the_nearer_origin_wins() {
        let env = Origin::Environment("WORKER_CONCURRENCY");
        for (given, file, expected, origin) in [
            (vec![("1", Origin::Flag)], "concurrency = 3", 1, Origin::Flag),
            (vec![("2", env.clone())], "concurrency = 3", 2, env.clone()),
            (vec![("", env.clone())], "concurrency = 3", 3, Origin::File(spot())),
            (vec![], "", 5, Origin::Default),
        ] {
            let mut settings = settings(&given, file);
            assert_eq!(settings.take("concurrency", number, "5").unwrap(), expected);
            assert_eq!(settings.shown()[0].origin, origin);
        }
    }

    #[test]
    fn a_wrong_value_says_where_it_stands_and_ends_with_the_fitting_code() {
        let env = Origin::Environment("WORKER_CONCURRENCY");
        for (given, file, exit, word) in [
            (vec![("x", Origin::Flag)], "", Exit::Usage, "flag"),
            (vec![("x", env)], "", Exit::Configuration, "WORKER_CONCURRENCY"),
            (vec![], "concurrency = \"x\"", Exit::Configuration, "/f.toml, line 1, column 1"),
            (vec![], "concurrency = [1, 2]", Exit::Configuration, "takes one value"),
            (vec![("", Origin::Flag)], "", Exit::Usage, "flag"),
        ] {
            let error = settings(&given, file).take("concurrency", number, "5").unwrap_err();
            assert_eq!(error.exit(), exit, "{error}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_list_is_repeated_or_separated_by_commas() {
        let mut settings = settings(&[("1, 2,3", Origin::Flag)], "");
        assert_eq!(settings.take_list("concurrency", number, "").unwrap(), [1, 2, 3]);
        assert_eq!(settings.take_list("grace", number, "").unwrap(), [0u32; 0]);
        assert_eq!(settings.take_optional("window", number).unwrap(), None);
    }
}
