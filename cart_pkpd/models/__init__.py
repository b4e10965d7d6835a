"""Published models of CAR-T cell kinetics, one file per publication.

``models.names()`` lists them, ``models.get("stein2019")`` gives one; a class of your own that
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
from cart_pkpd.models.hardiansyah2019 import Hardiansyah2019 as Hardiansyah2019
from cart_pkpd.models.kimmel2021 import Kimmel2021 as Kimmel2021
from cart_pkpd.models.mueller_schoell2021 import MuellerSchoell2021 as MuellerSchoell2021
from cart_pkpd.models.ogasawara2021 import Ogasawara2021 as Ogasawara2021
from cart_pkpd.models.owens_bozic2021 import OwensBozic2021 as OwensBozic2021
from cart_pkpd.models.park2025 import Park2025 as Park2025
from cart_pkpd.models.singh2021 import Singh2021 as Singh2021
from cart_pkpd.models.stein2019 import Stein2019 as Stein2019

__all__ = [
    "CONFIDENCE",
    "CYTOKINES",
    "ClosedFormModel",
    "Covariate",
    "Cytokine",
    "Fixed",
    "Fraction",
    "Hardiansyah2019",
    "Input",
    "Kimmel2021",
    "Model",
    "MuellerSchoell2021",
    "OdeModel",
    "Ogasawara2021",
    "OwensBozic2021",
    "Parameter",
    "ParameterSet",
    "Park2025",
    "Part",
    "Positive",
    "Real",
    "Reference",
    "Singh2021",
    "State",
    "Stein2019",
    "corticosteroids",
    "cytokines",
    "get",
    "math",
    "names",
    "tocilizumab",
    "tumour",
]
