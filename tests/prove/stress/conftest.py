"""The servers of the fault suites, for the suites of load, time and hostility."""

from tests.faults.conftest import dice as dice
from tests.faults.conftest import faults_postgres as faults_postgres
from tests.faults.conftest import make_server as make_server
from tests.faults.conftest import postgresql_url as postgresql_url
from tests.faults.conftest import server as server
