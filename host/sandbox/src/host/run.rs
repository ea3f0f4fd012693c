//! `walker:guest/run`: what a run says about itself.
//!
//! Reports are collected here; only a save carries them out before the end.

use super::contract::walker::guest::run;
use super::{Refused, json, over, problem, unexpected};
use crate::state::State;
use crate::{Reply, Request};

impl run::Host for State {
    fn report(&mut self, value: String) -> Result<(), Refused> {
        self.count_call("run.report", value.len())?;
        let reports = self.said.reports.len() as u64 + 1;
        over(reports, self.limits.reports, "reports", "reports")?;
        let report_bytes = self.said.report_bytes.saturating_add(value.len() as u64);
        over(report_bytes, self.limits.report_bytes, "bytes of reports", "report_bytes")?;
        Ok(self.keep_report(json(value)?)?)
    }

    async fn save(&mut self, fields: String) -> Result<(), Refused> {
        self.count_call("run.save", fields.len())?;
        self.check_fields(&fields)?;
        // All of them cross again, and are written again: as they are, and as one text.
        self.charges.bytes(self.said.report_bytes)?;
        let carried = self.said.report_bytes.saturating_add(fields.len() as u64);
        self.held.carry(carried.saturating_mul(2))?;
        let fields = json(fields)?;
        let request = Request::Save { fields: fields.clone(), reports: self.said.reports.clone() };
        match self.perform(request).await? {
            Reply::Saved => {
                let before = self.said.saved.as_ref().map_or(0, |saved| saved.len() as u64);
                let after = fields.len() as u64;
                // It is saved, whatever follows.
                self.said.saved = Some(fields);
                Ok(self.held.replace(before, after)?)
            }
            _ => Err(unexpected()),
        }
    }

    fn set_http_status(&mut self, status: u16) -> Result<(), Refused> {
        self.count_call("run.set-http-status", 0)?;
        if !(100..=599).contains(&status) {
            let message = format!("{status} is not an HTTP status; set one from 100 to 599");
            return Err(problem("http_status.invalid", message));
        }
        self.said.http_status = Some(status);
        Ok(())
    }

    fn set_custom(&mut self, value: String) -> Result<(), Refused> {
        self.count_call("run.set-custom", value.len())?;
        over(value.len() as u64, self.limits.custom_bytes, "bytes of custom value", "custom_bytes")?;
        let custom = json(value)?;
        let before = self.said.custom.as_ref().map_or(0, |custom| custom.len() as u64);
        self.held.replace(before, custom.len() as u64)?;
        self.said.custom_bytes = self.said.custom_bytes.max(custom.len() as u64);
        self.said.custom = Some(custom);
        Ok(())
    }
}
