//! How much room each part gets. Pure.

/// The rows of each part, from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Where one is, and how it stands; on a tall screen a blank row.
    pub(super) header: u16,
    /// The workers, their heading included.
    pub(super) workers: u16,
    /// The names of the lists, after a blank row on a tall screen.
    pub(super) tabs: u16,
    /// The tasks, their heading included.
    pub(super) tasks: u16,
    /// The detail, its title included.
    pub(super) detail: u16,
    /// The keys.
    pub(super) footer: u16,
}

/// From so many rows on lists have headings.
const ROOMY: u16 = 14;
/// From so many rows on parts have a blank row between them.
const TALL: u16 = 26;
/// From so many rows on there is a detail.
const DETAILED: u16 = 18;

impl Plan {
    /// The plan for a screen of `height` rows with so many workers and tasks.
    pub(super) fn of(height: u16, workers: usize, tasks: usize) -> Self {
        let titles = u16::from(height >= ROOMY);
        let blank = u16::from(height >= TALL);
        let (header, tabs) = (1 + titles + blank, 1 + blank);
        let footer = u16::from(height >= 4);
        let rest = height.saturating_sub(header + tabs + footer);
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).max(1);
        let most = (rest / 2).max(1 + titles);
        let workers = count(workers).saturating_add(titles).min(most);
        let rest = rest.saturating_sub(workers);
        // The tasks take what they need, and leave the detail at least its share.
        let share = if height >= DETAILED { rest * 2 / 5 } else { 0 };
        let wanted = count(tasks).saturating_add(titles + 1).min(rest - share);
        let tasks = if share == 0 { rest } else { wanted.max(rest / 4) };
        Self { header, workers, tabs, tasks, detail: rest - tasks, footer }
    }

    /// Whether lists have headings.
    pub(super) const fn has_headings(&self) -> bool {
        self.header > 1
    }
}

/// One column of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its heading.
    pub(super) title: &'static str,
    /// The columns of the screen that it takes at least.
    pub(super) least: usize,
    /// And at most.
    pub(super) most: usize,
    /// The lowest has its room first; 0 is always there.
    pub(super) rank: u8,
}

impl Column {
    /// A column that is always as wide.
    pub(super) const fn fixed(title: &'static str, width: usize, rank: u8) -> Self {
        Self { title, least: width, most: width, rank }
    }

    /// A column that takes more where there is more.
    pub(super) const fn growing(title: &'static str, least: usize, most: usize, rank: u8) -> Self {
        Self { title, least, most, rank }
    }
}

/// Blanks between two columns.
pub(super) const GAP: usize = 2;

/// Which columns are shown in `width`, by their number, and how wide each is.
pub(super) fn fit(columns: &[Column], width: usize) -> Vec<(usize, usize)> {
    let taken = |shown: &[usize]| {
        shown.iter().map(|n| columns[*n].least).sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|n| columns[*n].rank);
    let mut shown = Vec::new();
    for n in by_rank {
        shown.push(n);
        if columns[n].rank > 0 && taken(&shown) > width {
            shown.pop();
        }
    }
    shown.sort_unstable();
    let mut spare = width.saturating_sub(taken(&shown));
    let last = shown.iter().rev().copied().find(|n| columns[*n].most > columns[*n].least);
    let widths = shown.iter().map(|n| {
        // The last one that grows tells the most: the others take half of what is there at most.
        let part = if Some(*n) == last { spare } else { spare / 2 };
        let more = part.min(columns[*n].most - columns[*n].least);
        spare -= more;
        (*n, columns[*n].least + more)
    });
    widths.collect()
}

/// The first row that is shown of `len`, so that `selected` is in the middle of `height` rows as far as that goes.
pub(super) fn first(selected: usize, len: usize, height: usize) -> usize {
    selected.saturating_sub(height / 2).min(len.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_screen_belongs_to_one_part() {
        for height in [3, 4, 10, 14, 18, 24, 40, 200] {
            for (workers, tasks) in [(0, 0), (1, 1), (3, 40), (500, 2)] {
                let plan = Plan::of(height, workers, tasks);
                let sum = plan.header + plan.workers + plan.tabs + plan.tasks + plan.detail + plan.footer;
                assert_eq!(sum, height.max(3), "{height} {workers} {tasks} {plan:?}");
                assert!(height < 10 || plan.tasks >= 3, "{height} {workers} {tasks} {plan:?}");
            }
        }
        assert_eq!(Plan::of(10, 3, 2).detail, 0);
        assert!(Plan::of(24, 3, 2).detail >= 6, "{:?}", Plan::of(24, 3, 2));
    }

    #[test]
    fn the_most_important_columns_have_their_room_first_and_the_last_that_grows_takes_the_rest() {
        let columns =
            [Column::growing("A", 4, 8, 0), Column::fixed("B", 3, 2), Column::growing("C", 5, 99, 1)];
        for (width, expected) in [
            (40, &[(0, 8), (1, 3), (2, 25)][..]),
            (16, &[(0, 4), (1, 3), (2, 5)]),
            (15, &[(0, 6), (2, 7)]),
            (11, &[(0, 4), (2, 5)]),
            (6, &[(0, 6)]),
            (2, &[(0, 4)]),
        ] {
            assert_eq!(fit(&columns, width), expected, "{width}");
        }
    }

    #[test]
    fn what_is_selected_is_on_the_screen() {
        for (selected, len, height, expected) in
            [(0, 3, 10, 0), (2, 100, 10, 0), (50, 100, 10, 45), (99, 100, 10, 90), (0, 0, 10, 0)]
        {
            assert_eq!(first(selected, len, height), expected, "{selected} of {len} in {height}");
        }
    }
}
