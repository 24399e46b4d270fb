//! The settings that hold now, and how they are read again.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

use crate::config::{Changes, ConfigError, Shown, WatcherConfig};

/// Settings, and how each was resolved.
pub type Resolved = (WatcherConfig, Vec<Shown>);
/// Resolves them anew, as at the start.
pub type Reread = Box<dyn Fn() -> Result<Resolved, ConfigError>>;

/// The settings that hold now.
///
/// Each version lives as long as the process, so that whoever looked at one may go on with it: a reload that changes
/// something costs some kilobytes for good.
pub struct Live {
    now: Cell<&'static WatcherConfig>,
    shown: RefCell<Vec<Shown>>,
    reread: Reread,
}

impl Live {
    /// The settings of a start.
    pub fn new((config, shown): Resolved, reread: Reread) -> Self {
        Self { now: Cell::new(Box::leak(Box::new(config))), shown: RefCell::new(shown), reread }
    }

    /// Reads them again and takes over what can be; what is different. Where they are wrong everything stays.
    pub(super) fn reload(&self) -> Result<Changes, ConfigError> {
        let (new, shown) = (self.reread)()?;
        let changes = Changes::between(&self.shown.borrow(), &shown);
        if !changes.at_once.is_empty() {
            self.now.set(Box::leak(Box::new(self.now.get().taking(&new))));
        }
        let mut known = self.shown.borrow_mut();
        for change in &changes.at_once {
            known.iter_mut().filter(|it| it.key == change.key).for_each(|it| it.value.clone_from(&change.to));
        }
        Ok(changes)
    }
}

impl Deref for Live {
    type Target = WatcherConfig;

    fn deref(&self) -> &WatcherConfig {
        self.now.get()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::{ConfigFile, Environment, Settings};

    fn resolve(text: &str) -> Result<Resolved, ConfigError> {
        let file = ConfigFile::parse("/f.toml".as_ref(), text)?;
        let mut settings = Settings::new(Vec::new(), Some(file));
        let config = WatcherConfig::resolve(&mut settings, &Environment::of(&[]))?;
        Ok((config, settings.shown().to_vec()))
    }

    #[test]
    fn what_needs_a_start_is_said_each_time_and_what_is_wrong_changes_nothing() {
        let text = Rc::new(RefCell::new("worker = \"marie\"".to_owned()));
        let reread = Rc::clone(&text);
        let live =
            Live::new(resolve("worker = \"marie\"").unwrap(), Box::new(move || resolve(&reread.borrow())));
        assert_eq!(live.reload().unwrap().to_string(), "nothing changed");
        *text.borrow_mut() = "worker = \"marie\"\nmax_retries = 7\nroot = \"/x\"".to_owned();
        let first = live.reload().unwrap();
        assert_eq!((first.at_once.len(), first.with_a_start.len()), (1, 1));
        assert_eq!((live.max_retries, live.root.as_path()), (7, "/shared".as_ref()));
        let second = live.reload().unwrap();
        assert_eq!((second.at_once.len(), second.with_a_start.len()), (0, 1), "{second}");
        *text.borrow_mut() = "worker = \"marie\"\nmax_retries = \"many\"".to_owned();
        assert!(live.reload().unwrap_err().to_string().contains("line 2"));
        assert_eq!(live.max_retries, 7);
    }
}
