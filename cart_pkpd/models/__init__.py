"""Published models of CAR-T cell kinetics, one file per publication.

``models.names()`` and ``models.table()`` list them, ``models.get("stein2019")`` gives one,
``models.describe("stein2019")`` its equations, numbers and sources; a class of your own that
derives from :class:`OdeModel` or :class:`ClosedFormModel` works in the same way; its equations
take ``exp``, ``log``, ``where`` and so on from ``models.math``.
"""

from cart_pkpd.models import math as math
from cart_pkpd.models._closed import ClosedFormModel as ClosedFormModel
from cart_pkpd.models._comedication import corticosteroids as corticosteroids
from cart_pkpd.models._comedication import tocilizumab as tocilizumab
from cart_pkpd.models._compose import Part as Part
from cart_pkpd.models._cytokines import CYTOKINES as CYTOKINES
from cart_pkpd.models._cytokines import Cytokine as Cytokine
from cart_pkpd.models._cytokines import cytokines as cytokines
from cart_pkpd.models._declare import Model as Model
from cart_pkpd.models._declare import get as get
from cart_pkpd.models._declare import names as names
from cart_pkpd.models._describe import Description as Description
from cart_pkpd.models._describe import cite as cite
from cart_pkpd.models._describe import describe as describe
from cart_pkpd.models._describe import table as table
from cart_pkpd.models._ode import Covariate as Covariate
from cart_pkpd.models._ode import Input as Input
from cart_pkpd.models._ode import OdeModel as OdeModel
from cart_pkpd.models._ode import State as State
from cart_pkpd.models._parameters import CONFIDENCE as CONFIDENCE
from cart_pkpd.models._parameters import Fixed as Fixed
from cart_pkpd.models._parameters import Fraction as Fraction
from cart_pkpd.models._parameters import Parameter as Parameter
from cart_pkpd.models._parameters import ParameterSet as ParameterSet
from cart_pkpd.models._parameters import Positive as Positive
from cart_pkpd.models._parameters import Real as Real
from cart_pkpd.models._parameters import Reference as Reference
from cart_pkpd.models._tumour import tumour as tumour
from cart_pkpd.models.chaudhury2020 import Chaudhury2020Ec50 as Chaudhury2020Ec50
from cart_pkpd.models.chaudhury2020 import Chaudhury2020FirstOrder as Chaudhury2020FirstOrder
from cart_pkpd.models.chaudhury2020 import Chaudhury2020PredatorPrey as Chaudhury2020PredatorPrey
from cart_pkpd.models.dual_antigen import DualAntigen as DualAntigen
from cart_pkpd.models.effector_memory import EffectorMemory as EffectorMemory
from cart_pkpd.models.liu2021 import Liu2021 as Liu2021
from cart_pkpd.models.ogasawara2021 import Ogasawara2021 as Ogasawara2021
from cart_pkpd.models.stein2019 import Stein2019 as Stein2019
from cart_pkpd.models.stein2019 import Stein2019Comedication as Stein2019Comedication
from cart_pkpd.models.wu2022 import Wu2022 as Wu2022
from cart_pkpd.models.wu2025 import Wu2025 as Wu2025

__all__ = [
    "CONFIDENCE",
    "CYTOKINES",
    "Chaudhury2020Ec50",
    "Chaudhury2020FirstOrder",
    "Chaudhury2020PredatorPrey",
    "ClosedFormModel",
    "Covariate",
    "Cytokine",
    "Description",
    "DualAntigen",
    "EffectorMemory",
    "Fixed",
    "Fraction",
    "Input",
    "Liu2021",
    "Model",
    "OdeModel",
    "Ogasawara2021",
    "Parameter",
    "ParameterSet",
    "Part",
    "Positive",
    "Real",
    "Reference",
    "State",
    "Stein2019",
    "Stein2019Comedication",
    "Wu2022",
    "Wu2025",
    "cite",
    "corticosteroids",
    "cytokines",
    "describe",
    "get",
    "math",
    "names",
    "table",
    "tocilizumab",
    "tumour",
]
