//! Hears what other hosts announce.

use futures::{StreamExt, stream};
use tokio_postgres::{AsyncMessage, NoTls};

use super::{Error, Store};

impl Store {
    /// Listens on a channel until the connection ends; `hear` gets each payload.
    /// `ready` is called once listening, when everything known from before may be out of date.
    pub(crate) async fn listen(
        &self,
        channel: &str,
        ready: impl FnOnce(),
        mut hear: impl FnMut(&str),
    ) -> Result<(), Error> {
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        let listen = format!("listen {channel}");
        let start = client.batch_execute(&listen);
        tokio::pin!(start);
        let mut ready = Some(ready);
        loop {
            tokio::select! {
                started = &mut start, if ready.is_some() => {
                    started?;
                    if let Some(ready) = ready.take() {
                        ready();
                    }
                }
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(notification))) => hear(notification.payload()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                }
            }
        }
    }
}
