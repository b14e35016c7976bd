"""Jira Service Management: a channel to the people who watch a service desk.

In: a notice. Out: one request, or a comment on the open request about the same matter.
Law: the desk takes everything twice, so our words stand where its search and its comments show them.
"""

from tieline.connectors.jira_service.connector import MANIFEST, JiraServiceConnector, build

__all__ = ["MANIFEST", "JiraServiceConnector", "build"]
